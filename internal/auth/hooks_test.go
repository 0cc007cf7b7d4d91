package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// backend is an app's own, which knows its users by their cookies.
type backend struct {
	*httptest.Server
	asked  atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

// newBackend answers every question by status and text until handle says otherwise.
func newBackend(t testing.TB, status int, text string) *backend {
	b := &backend{}
	b.say(status, text)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		(*b.answer.Load())(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) say(status int, text string) {
	b.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	})
}

func (b *backend) handle(h http.HandlerFunc) { b.answer.Store(&h) }

func (b *backend) app() App {
	return App{
		ID: "shop", Keys: []Key{{ID: "shop-1", Secret: shopSecret}},
		Hooks: Hooks{Connect: b.URL + "/connect", Subscribe: b.URL + "/subscribe", Headers: []string{"x-tenant"}, Timeout: 2 * time.Second},
	}
}

func (b *backend) authenticator(t testing.TB) *Authenticator {
	t.Helper()
	a, err := New([]App{b.app()})
	if err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return noon }
	return a
}

// visit is a browser's request with a cookie, from the server's own page.
func visit(cookie string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v1/ws", nil)
	r.Header.Set("Cookie", cookie)
	r.Header.Set("Origin", "http://example.com")
	return r
}

func TestConnectHook(t *testing.T) {
	b := newBackend(t, 200, "")
	b.handle(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		want := `{"app":"shop","path":"/v1/ws","address":"192.0.2.7","origin":"http://example.com"}`
		if err != nil || string(body) != want || r.URL.Path != "/connect" || r.Header.Get("Cookie") != "s=ann" || r.Header.Get("X-Tenant") != "t1" || r.Header.Get("X-Other") != "" {
			t.Errorf("asked %s %s %v, %v", r.URL.Path, body, r.Header, err)
		}
		fmt.Fprint(w, `{"user":"ann","channels":{"user:{user}":["subscribe"]},"member":{"name":"Ann"},"expires":600,"more":1}`)
	})
	a := b.authenticator(t)
	a.Peer = func(r *http.Request) Peer { return Peer{"192.0.2.7", "http", r.Host} }
	r := visit("s=ann")
	r.Header.Set("X-Tenant", "t1")
	r.Header.Set("X-Other", "o1")
	g, err := a.Request(r)
	if err != nil {
		t.Fatal(err)
	}
	g.Ask = nil // functions cannot be compared
	want := &hub.Grant{
		App: "shop", Client: "ann", Allow: []hub.Allow{{Pattern: "user:ann", Actions: hub.ActionSubscribe}}, Member: []byte(`{"name":"Ann"}`),
		Issued: noon, Expires: noon.Add(10 * time.Minute), Grace: DefaultGrace,
	}
	g.Issued, g.Expires = g.Issued.UTC(), g.Expires.UTC()
	if !reflect.DeepEqual(g, want) {
		t.Errorf("got  %+v\nwant %+v", g, want)
	}
}

// The backend is asked as seldom as possible: once for many tabs at once, not again while its answer counts, and never for who has a credential.
func TestConnectHookIsAskedSeldom(t *testing.T) {
	b := newBackend(t, 200, `{"user":"ann"}`)
	a := b.authenticator(t)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := a.Request(visit("s=ann")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	asked := func(want int32, what string) {
		t.Helper()
		if n := b.asked.Load(); n != want {
			t.Errorf("%s: asked %d times, want %d", what, n, want)
		}
	}
	asked(1, "many at once")
	if err := a.SetApps([]App{b.app()}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Request(visit("s=ann")); err != nil {
		t.Error(err)
	}
	asked(1, "after a reload")
	if _, err := a.Request(visit("s=bob")); err != nil {
		t.Error(err)
	}
	asked(2, "another cookie")
	tenant := visit("s=ann")
	tenant.Header.Set("X-Tenant", "t2")
	if _, err := a.Request(tenant); err != nil {
		t.Error(err)
	}
	asked(3, "another header")
	b.say(200, `{"user":"ann","ttl":0}`)
	for range 2 {
		if _, err := a.Request(visit("s=ann; ttl=0")); err != nil {
			t.Error(err)
		}
	}
	asked(5, "an answer that does not last")
	withToken := visit("s=ann")
	withToken.Header.Set("Authorization", "Bearer "+mint(t, Claims{Client: "ann", Expires: noon.Add(time.Hour)}))
	for range 10 {
		if _, err := a.Request(withToken); err != nil {
			t.Error(err)
		}
	}
	asked(5, "with a token")
	withToken.Header.Set("Authorization", "Bearer ey.ey.ey")
	if g, err := a.Request(withToken); err == nil {
		t.Errorf("a bad token fell back to the cookies: %+v", g)
	}
	foreign := visit("s=ann")
	foreign.Header.Set("Origin", "https://evil.example")
	g, err := a.Request(foreign)
	refused(t, g, err, hub.CodeBadOrigin, "evil.example")
	none := visit("")
	none.Header.Del("Cookie")
	g, err = a.Request(none)
	refused(t, g, err, hub.CodeUnauthorized, "takes no anonymous clients")
	asked(5, "whose cookies do not count, and without cookies")
}

func TestConnectHookAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		text   string
		code   hub.Code
		words  string
	}{
		"refused":           {401, "your trial is over", hub.CodeUnauthorized, "your trial is over"},
		"forbidden":         {403, "", hub.CodeUnauthorized, "refused"},
		"broken":            {500, "Traceback", hub.CodeOverloadedConnect, "try again"},
		"not found":         {404, "", hub.CodeOverloadedConnect, "try again"},
		"no JSON":           {200, "ok", hub.CodeOverloadedConnect, "try again"},
		"a star for a user": {200, `{"user":"*","channels":{"user:{user}":["subscribe"]}}`, hub.CodeOverloadedConnect, "try again"},
		"no user":           {200, `{"channels":{"user:{user}":["subscribe"]}}`, hub.CodeOverloadedConnect, "try again"},
		"no action":         {200, `{"user":"a","channels":{"x":["read"]}}`, hub.CodeOverloadedConnect, "try again"},
		"member":            {200, `{"user":"a","member":"Ann"}`, hub.CodeOverloadedConnect, "try again"},
		"ever":              {200, `{"user":"a","expires":1e12}`, hub.CodeOverloadedConnect, "try again"},
		"backwards":         {200, `{"user":"a","ttl":-1}`, hub.CodeOverloadedConnect, "try again"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newBackend(t, test.status, test.text).authenticator(t)
			g, err := a.Request(visit("s=ann"))
			refused(t, g, err, test.code, test.words)
			if strings.Contains(err.Error(), "Traceback") {
				t.Errorf("shows what is not the client's business: %v", err)
			}
		})
	}
}

// A backend that is down is soon not asked any more, and connections are refused early and told to come back.
func TestConnectHookOfABackendThatIsDown(t *testing.T) {
	b := newBackend(t, 503, "")
	a := b.authenticator(t)
	for i := range 100 {
		g, err := a.Request(visit(fmt.Sprint("s=", i)))
		refused(t, g, err, hub.CodeOverloadedConnect)
	}
	if n := b.asked.Load(); n != 5 {
		t.Errorf("asked %d times", n)
	}
}

func TestSubscribeHook(t *testing.T) {
	const all = hub.ActionSubscribe | hub.ActionHistory
	for name, test := range map[string]struct {
		status int
		text   string
		want   hub.Answer
		code   hub.Code // of the error
	}{
		"yes":             {200, `{"allow":true}`, hub.Answer{Actions: hub.ActionSubscribe}, 0},
		"yes, for long":   {200, `{"allow":true,"ttl":60}`, hub.Answer{Actions: hub.ActionSubscribe, For: time.Minute}, 0},
		"yes, this once":  {200, `{"allow":true,"ttl":0}`, hub.Answer{Actions: hub.ActionSubscribe, For: time.Second}, 0},
		"actions":         {200, `{"allow":["subscribe","history"]}`, hub.Answer{Actions: all}, 0},
		"no actions":      {200, `{"allow":[]}`, hub.Answer{For: refusedFor}, 0},
		"no":              {200, `{"allow":false}`, hub.Answer{For: refusedFor}, 0},
		"null":            {200, `{"allow":null}`, hub.Answer{For: refusedFor}, 0},
		"no, for long":    {200, `{"allow":false,"ttl":3600}`, hub.Answer{For: time.Hour}, 0},
		"403":             {403, `no`, hub.Answer{For: refusedFor}, 0},
		"500":             {500, ``, hub.Answer{}, hub.CodeOverloaded},
		"nothing said":    {200, `{}`, hub.Answer{}, hub.CodeOverloaded},
		"a word":          {200, `{"allow":"yes"}`, hub.Answer{}, hub.CodeOverloaded},
		"no action of us": {200, `{"allow":["read"]}`, hub.Answer{}, hub.CodeOverloaded},
		"backwards":       {200, `{"allow":true,"ttl":-1}`, hub.Answer{}, hub.CodeOverloaded},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, 200, "")
			b.handle(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if want := `{"app":"shop","session":"S1","client":"ann","channel":"room:1","action":"subscribe"}`; err != nil || string(body) != want || r.URL.Path != "/subscribe" {
					t.Errorf("asked %s %s, %v", r.URL.Path, body, err)
				}
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.text)
			})
			g, err := b.authenticator(t).Token(mint(t, Claims{Client: "ann", Expires: noon.Add(time.Hour)}))
			if err != nil {
				t.Fatal(err)
			}
			got, err := g.Ask(t.Context(), "S1", "room:1")
			if test.code != 0 {
				refused(t, nil, err, test.code, "try again")
			} else if err != nil || got != test.want {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

// A backend's key is asked about nothing, nor is a client of an app without the hook.
func TestWhoIsNotAsked(t *testing.T) {
	a := newBackend(t, 200, "").authenticator(t)
	if g, err := a.Key("shop-1", shopSecret); err != nil || g.Ask != nil {
		t.Errorf("got %+v, %v", g, err)
	}
	if g, err := shops(t).Token(mint(t, Claims{Client: "ann", Expires: noon.Add(time.Hour)})); err != nil || g.Ask != nil {
		t.Errorf("got %+v, %v", g, err)
	}
}

func TestSubscribeHookGivesUpWithItsSession(t *testing.T) {
	b := newBackend(t, 200, "")
	came, release := make(chan struct{}), make(chan struct{})
	b.handle(func(http.ResponseWriter, *http.Request) {
		close(came)
		<-release
	})
	defer close(release)
	g, err := b.authenticator(t).Token(mint(t, Claims{Client: "ann", Expires: noon.Add(time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	go func() {
		<-came
		end()
	}()
	if _, err := g.Ask(ctx, "S1", "c"); err == nil {
		t.Error("there was an answer")
	}
}

func FuzzHookAnswers(f *testing.F) {
	f.Add([]byte(`{"user":"ann","channels":{"user:{user}":["subscribe"]},"member":{},"expires":1e3,"ttl":0.5}`))
	f.Add([]byte(`{"allow":["subscribe"],"ttl":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c connectAnswer
		if json.Unmarshal(text, &c) == nil {
			g, ttl, err := c.grant(noon)
			if err == nil && (g.Server || g.Expires.Before(noon) || ttl < 0 || ttl > g.Expires.Sub(noon) || g.Member != nil && !json.Valid(g.Member)) {
				t.Fatalf("%q gives %+v for %v", text, g, ttl)
			}
			if e, ours := errors.AsType[*hub.Error](err); ours && e.Text == "" {
				t.Fatalf("%q is refused without a word", text)
			}
		}
		var s subscribeAnswer
		if json.Unmarshal(text, &s) == nil {
			if got, err := s.read(); err == nil && (got.For < 0 || got.Actions&^hub.AllActions != 0) {
				t.Fatalf("%q gives %+v", text, got)
			}
		}
	})
}
