package api

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

const secret = "0123456789abcdef0123456789abcdef"

var rules = []hub.Rule{
	{Pattern: "short:*", Keep: hub.Retention{Messages: 2}},
	{Pattern: "public:*", Public: true},
	{Pattern: "server:*", Publish: hub.PublishByServer},
	{Pattern: "quiet:*", NoPresence: true},
}

// site is the API over a real hub and a real log.
type site struct {
	t   *testing.T
	hub *hub.Hub
	api *api
	url string
	log *bytes.Buffer // of the API
}

func open(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	return openOn(t, func(s hub.Sink) (hub.Log, error) { return local.Open(local.Options{Dir: dir, Sink: s}) })
}

func openOn(t *testing.T, log func(hub.Sink) (hub.Log, error)) *site {
	t.Helper()
	s := &site{t: t, log: &bytes.Buffer{}}
	var err error
	if s.hub, err = hub.New(hub.Options{Open: log, Grace: time.Minute}); err != nil {
		t.Fatal(err)
	}
	s.hub.SetApps([]hub.App{{ID: "shop", Rules: rules}})
	s.api = New(Options{
		Hub: s.hub, Auth: keys(t), Log: slog.New(slog.NewTextHandler(s.log, nil)),
		AllowOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "https://app.example" },
	}).(*api)
	server := httptest.NewServer(s.api)
	s.url = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := s.hub.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func keys(t testing.TB) *auth.Authenticator {
	t.Helper()
	a, err := auth.New([]auth.App{{ID: "shop", Keys: []auth.Key{{ID: "shop-1", Secret: secret}}, Public: true}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func token(t testing.TB, client, pattern string, actions hub.Action, expires time.Time) string {
	t.Helper()
	signed, err := auth.Mint("shop-1", secret, auth.Claims{Client: client, Allow: []hub.Allow{{Pattern: pattern, Actions: actions}}, Expires: expires})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// answer is what came back.
type answer struct {
	*http.Response
	body string
}

// do sends a request as curl would. Each header is "Name: value"; without an Authorization among them the app key is sent.
func (s *site) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.SetBasicAuth("shop-1", secret)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	return s.send(r)
}

func (s *site) send(r *http.Request) answer {
	s.t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res, string(b)}
}

// result is what the API says of a message; and a problem, as their members do not meet.
type result struct {
	Channel   string          `json:"channel"`
	ID        string          `json:"id"`
	Epoch     string          `json:"epoch"`
	Offset    uint64          `json:"offset"`
	Prev      *uint64         `json:"prev"`
	Duplicate bool            `json:"duplicate"`
	Ephemeral bool            `json:"ephemeral"`
	Type      string          `json:"type"`
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail"`
	Code      hub.Code        `json:"code"`
	Name      string          `json:"name"`
	Text      string          `json:"text"`
	Results   json.RawMessage `json:"results"`
}

// page is what the API says of a channel's past.
type page struct {
	Messages []struct {
		Channel string            `json:"channel"`
		ID      string            `json:"id"`
		Event   string            `json:"event"`
		Data    json.RawMessage   `json:"data"`
		Base64  *string           `json:"base64"`
		Headers map[string]string `json:"headers"`
		Client  string            `json:"client"`
		Time    int64             `json:"time"`
		Epoch   string            `json:"epoch"`
		Offset  uint64            `json:"offset"`
		Prev    uint64            `json:"prev"`
	} `json:"messages"`
	More bool   `json:"more"`
	Next string `json:"next"`
	Head struct {
		Epoch  string `json:"epoch"`
		Offset uint64 `json:"offset"`
	} `json:"head"`
	Reset string `json:"reset"`
}

// into reads an answer that must have the status 200, strictly.
func into[T any](t *testing.T, a answer) T {
	t.Helper()
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	return strict[T](t, a.body)
}

func strict[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// wantProblem fails unless a is a complete problem of that code and status whose detail has the words.
func wantProblem(t *testing.T, a answer, status int, code hub.Code, words ...string) result {
	t.Helper()
	p := strict[result](t, a.body)
	if a.StatusCode != status || p.Status != status || p.Code != code || p.Name != code.String() || p.Type != "urn:sno:problem:"+p.Name || p.Title == "" {
		t.Errorf("status %d, want %d with code %d: %s", a.StatusCode, status, code, a.body)
	}
	for _, w := range words {
		if !strings.Contains(p.Detail, w) {
			t.Errorf("the detail is %q, want %q in it", p.Detail, w)
		}
	}
	if a.Header.Get("Content-Type") != "application/problem+json" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", a.Header)
	}
	if (status == 401) != (a.Header.Get("WWW-Authenticate") != "") || (status == 503) != (a.Header.Get("Retry-After") != "") {
		t.Errorf("status %d with header %v", status, a.Header)
	}
	return p
}

func TestPathsAndMethods(t *testing.T) {
	s := open(t)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"POST", "/v1/channels", 405, "GET, HEAD, OPTIONS"},
		{"GET", "/v1/channels/a/b/messages", 404, ""},
		{"GET", "/v1/nothing", 404, ""},
		{"POST", "/v1/channels/a/message", 404, ""},
		{"DELETE", "/v1/channels/a/messages", 405, "GET, HEAD, POST, OPTIONS"},
		{"POST", "/v1/channels/a/presence", 405, "GET, HEAD, OPTIONS"},
	} {
		a := s.do(test.method, test.path, "")
		code := hub.CodeNotFound
		if test.status == 405 {
			code = hub.CodeBadRequest
		}
		wantProblem(t, a, test.status, code)
		if a.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: Allow %q, want %q", test.method, test.path, a.Header.Get("Allow"), test.allow)
		}
	}
	if a := s.do("HEAD", "/v1/channels/a/messages", ""); a.StatusCode != http.StatusOK || a.body != "" {
		t.Errorf("HEAD: %d %q", a.StatusCode, a.body)
	}
}

func TestCredentials(t *testing.T) {
	s := open(t)
	hour := time.Now().Add(time.Hour)
	const path = "/v1/channels/chat/messages"
	for name, test := range map[string]struct {
		method, path, authorization string
		status                      int
		code                        hub.Code
		challenge                   string
	}{
		"none":               {"POST", path, "", 403, hub.CodeForbidden, ""}, // the app has public channels: whoever asks is let in, to nothing else
		"wrong secret":       {"GET", path, "Basic c2hvcC0xOng=", 401, hub.CodeUnauthorized, "Basic"},
		"no token":           {"GET", path, "Bearer x", 401, hub.CodeUnauthorized, "Bearer"},
		"expired":            {"GET", path, "Bearer " + token(t, "ann", "*", hub.AllActions, hour.Add(-2*time.Hour)), 401, hub.CodeTokenExpired, `error="invalid_token"`},
		"not this channel":   {"GET", path, "Bearer " + token(t, "ann", "news", hub.AllActions, hour), 403, hub.CodeForbidden, ""},
		"not this action":    {"POST", path, "Bearer " + token(t, "ann", "*", hub.ActionHistory, hour), 403, hub.CodeForbidden, ""},
		"servers only":       {"POST", "/v1/channels/server:x/messages", "Bearer " + token(t, "ann", "*", hub.AllActions, hour), 403, hub.CodeForbidden, ""},
		"presence not":       {"GET", "/v1/channels/chat/presence", "Bearer " + token(t, "ann", "*", hub.ActionHistory, hour), 403, hub.CodeForbidden, ""},
		"presence off":       {"GET", "/v1/channels/quiet:x/presence", "Bearer " + token(t, "ann", "*", hub.AllActions, hour), 403, hub.CodeForbidden, ""},
		"another app's name": {"GET", path + "?app=blog", "", 401, hub.CodeUnauthorized, "Bearer"},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.do(test.method, test.path, `{"data":1}`, "Authorization: "+test.authorization)
			wantProblem(t, a, test.status, test.code)
			if !strings.Contains(a.Header.Get("WWW-Authenticate"), test.challenge) {
				t.Errorf("challenge %q, want %q", a.Header.Get("WWW-Authenticate"), test.challenge)
			}
		})
	}
	into[page](t, s.do("GET", "/v1/channels/public:news/messages?app=shop", "", "Authorization: "))
	into[page](t, s.do("GET", path, "", "Authorization: Bearer "+token(t, "ann", "chat", hub.ActionHistory, hour)))
}
