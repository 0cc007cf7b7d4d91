package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/snoserver/sno/internal/hook"
	"github.com/snoserver/sno/internal/hub"
)

const (
	// DefaultHookTimeout is how long a backend may think unless its app says otherwise.
	DefaultHookTimeout = 3 * time.Second
	// cookieAnswers is how many answers about cookies are kept for an app.
	cookieAnswers = 10_000
	// What an answer about cookies means that does not say: how long its session may last, and how long it counts for further connections of the same browser.
	defaultExpires = time.Hour
	defaultTTL     = time.Minute
	// refusedFor is how long a refusal to subscribe counts that does not say.
	refusedFor = 10 * time.Second
)

// Hooks are what an app's backend is asked.
type Hooks struct {
	// Connect is asked who a client is that shows cookies and no credential of ours; empty: cookies count for nothing.
	Connect string
	// Subscribe is asked about channels that a client's grant does not allow; empty: they are refused.
	Subscribe string
	// Headers of the connection request go along to Connect, beside Cookie.
	Headers []string
	// Timeout is how long a question may take. 0: DefaultHookTimeout.
	Timeout time.Duration
}

func (h *Hooks) check(app string) error {
	for name, s := range map[string]string{"connect": h.Connect, "subscribe": h.Subscribe} {
		if err := CheckHookURL(s); s != "" && err != nil {
			return fmt.Errorf("app %q: the %s hook %w", app, name, err)
		}
	}
	return nil
}

// CheckHookURL says what is wrong with the URL of a hook.
func CheckHookURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		if err == nil {
			s = u.Redacted()
		}
		return fmt.Errorf("is at %q; it must be an http or https URL without a password", clip(s))
	}
	return nil
}

// hooks are Hooks at work.
type hooks struct {
	Hooks
	connect   *hook.Endpoint // nil: there is none
	subscribe *hook.Endpoint
	cookies   *hook.Cache[*hub.Grant]
}

// newHooks keeps those before where nothing has changed: a reload must not forget what is known of a backend.
func newHooks(h Hooks, before *hooks) *hooks {
	made := &hooks{Hooks: h, cookies: hook.NewCache[*hub.Grant](cookieAnswers)}
	timeout := cmp.Or(h.Timeout, DefaultHookTimeout)
	if before != nil && before.Connect == h.Connect && before.Timeout == h.Timeout {
		made.connect, made.cookies = before.connect, before.cookies
	} else if h.Connect != "" {
		made.connect = hook.NewEndpoint(h.Connect, timeout)
	}
	if before != nil && before.Subscribe == h.Subscribe && before.Timeout == h.Timeout {
		made.subscribe = before.subscribe
	} else if h.Subscribe != "" {
		made.subscribe = hook.NewEndpoint(h.Subscribe, timeout)
	}
	return made
}

// connectQuestion is what the connect hook is asked. The cookies are in the header.
type connectQuestion struct {
	App     string `json:"app"`
	Path    string `json:"path"` // of the transport: /v1/ws and so on
	Address string `json:"address"`
	Origin  string `json:"origin,omitempty"`
}

// connectAnswer is what it answers. Times are in seconds.
type connectAnswer struct {
	User     string              `json:"user"`
	Channels map[string][]string `json:"channels"`
	Member   json.RawMessage     `json:"member"`
	Expires  *float64            `json:"expires"`
	TTL      *float64            `json:"ttl"`
}

// Visitor returns the grant of a client that shows no key and no token: what the app's backend says of its cookies, where it has a hook for that and the
// page may use them, or else that of anonymous clients. An empty appID is the only app, when there is one.
func (a *Authenticator) Visitor(r *http.Request, appID string) (*hub.Grant, error) {
	t := a.table.Load()
	app, err := t.app(appID)
	if err != nil {
		return nil, err
	}
	h := t.hooks[app.ID]
	if h.connect == nil || r.Header.Get("Cookie") == "" {
		return t.anonymousGrant(app)
	}
	if bad := cookiesCount(r, a.peer(r), app.Origins); bad != nil {
		if g, err := t.anonymousGrant(app); err == nil {
			return g, nil
		}
		return nil, bad
	}
	g, err := a.cookieGrant(r, h, app.ID)
	if err != nil {
		return nil, err
	}
	own := *g // the cached one is everybody's who has these cookies
	return a.client(t, app, &own), nil
}

func (a *Authenticator) cookieGrant(r *http.Request, h *hooks, app string) (*hub.Grant, error) {
	header, parts := http.Header{}, []string{app}
	for _, name := range append([]string{"Cookie"}, h.Headers...) {
		if values := r.Header.Values(name); len(values) > 0 {
			header[http.CanonicalHeaderKey(name)] = values
			parts = append(append(parts, "", name), values...)
		}
	}
	return h.cookies.Do(r.Context(), hook.KeyOf(parts...), func(ctx context.Context) (*hub.Grant, time.Duration, error) {
		q := connectQuestion{App: app, Path: r.URL.Path, Address: a.peer(r).Address, Origin: r.Header.Get("Origin")}
		var answer connectAnswer
		if err := h.connect.Ask(ctx, header, q, &answer); err != nil {
			return nil, 0, a.hookFailed(err, "connect", app, hub.CodeUnauthorized, hub.CodeOverloadedConnect)
		}
		g, ttl, err := answer.grant(a.now())
		if err != nil {
			return nil, 0, a.hookFailed(err, "connect", app, 0, hub.CodeOverloadedConnect)
		}
		return g, ttl, nil
	})
}

// grant is what an answer allows, and for how long it may be reused. The error is for the operator.
func (c *connectAnswer) grant(now time.Time) (*hub.Grant, time.Duration, error) {
	expires, err := seconds("expires", c.Expires, defaultExpires)
	if err != nil {
		return nil, 0, err
	}
	ttl, err := seconds("ttl", c.TTL, min(defaultTTL, expires))
	if err != nil {
		return nil, 0, err
	}
	if c.Channels == nil {
		c.Channels = map[string][]string{}
	}
	claims := &wireClaims{Channels: c.Channels, Member: c.Member}
	claims.Subject = c.User
	claims.IssuedAt, claims.ExpiresAt = jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(expires))
	g, err := claims.grant(nil)
	if err != nil {
		return nil, 0, err
	}
	g.Expires = now.Add(expires) // to the fraction, as ttl
	return g, min(ttl, expires), nil
}

// maxSeconds is a year: an answer that means longer means something else.
const maxSeconds = 366 * 24 * 60 * 60

func seconds(name string, n *float64, otherwise time.Duration) (time.Duration, error) {
	switch {
	case n == nil:
		return otherwise, nil
	case math.IsNaN(*n) || *n < 0 || *n > maxSeconds:
		return 0, fmt.Errorf("the answer's %s is %g; it must be a number of seconds from 0 to %d", name, *n, maxSeconds)
	}
	return time.Duration(*n * float64(time.Second)), nil
}

// hookFailed is what a client is told when a hook gave no answer: the backend's refusal, or to try again. What went wrong is for the log.
func (a *Authenticator) hookFailed(err error, name, app string, no, later hub.Code) error {
	if refused, ok := errors.AsType[*hook.RefusedError](err); ok {
		return hub.Errorf(no, "%s", refused.Text)
	}
	if !errors.Is(err, hook.ErrBusy) && !errors.Is(err, context.Canceled) {
		a.warn("a hook gave no answer that can be used", "hook", name, "app", app, "error", err)
	}
	return hub.Errorf(later, "the app's backend cannot be asked just now; try again")
}

// subscribeQuestion is what the subscribe hook is asked.
type subscribeQuestion struct {
	App     string `json:"app"`
	Session string `json:"session"`
	Client  string `json:"client,omitempty"`
	Channel string `json:"channel"`
	Action  string `json:"action"`
}

// subscribeAnswer is what it answers: true, false, or the actions that are allowed.
type subscribeAnswer struct {
	Allow json.RawMessage `json:"allow"`
	TTL   *float64        `json:"ttl"`
}

// asker asks the subscribe hook for a client of an app.
func (a *Authenticator) asker(h *hooks, app, client string) hub.Asker {
	return func(ctx context.Context, session, channel string) (hub.Answer, error) {
		q := subscribeQuestion{App: app, Session: session, Client: client, Channel: channel, Action: hub.ActionSubscribe.String()}
		var answer subscribeAnswer
		err := h.subscribe.Ask(ctx, nil, q, &answer)
		if _, refused := errors.AsType[*hook.RefusedError](err); refused {
			return hub.Answer{For: refusedFor}, nil
		}
		var got hub.Answer
		if err == nil {
			got, err = answer.read()
		}
		if err != nil {
			return hub.Answer{}, a.hookFailed(err, "subscribe", app, hub.CodeForbidden, hub.CodeOverloaded)
		}
		return got, nil
	}
}

func (s *subscribeAnswer) read() (hub.Answer, error) {
	var got hub.Answer
	var yes bool
	var names []string
	switch {
	case json.Unmarshal(s.Allow, &yes) == nil:
		if yes {
			got.Actions = hub.ActionSubscribe
		}
	case json.Unmarshal(s.Allow, &names) == nil:
		for _, name := range names {
			a, ok := hub.ParseAction(name)
			if !ok {
				return got, fmt.Errorf("the answer allows %q; the actions are %s", clip(name), hub.AllActions)
			}
			got.Actions |= a
		}
	default:
		return got, errors.New("the answer's allow must be true, false or an array of actions")
	}
	otherwise := time.Duration(0)
	if got.Actions == 0 {
		otherwise = refusedFor
	}
	ttl, err := seconds("ttl", s.TTL, otherwise)
	if s.TTL != nil {
		ttl = max(ttl, time.Second) // it has to last until it is used
	}
	got.For = ttl
	return got, err
}
