package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	shopSecret = "shop-secret-0123456789abcdef0123"
	blogSecret = "blog-secret-0123456789abcdef0123"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// shops is an Authenticator of three apps, at noon.
func shops(t testing.TB) *Authenticator {
	t.Helper()
	a, err := New([]App{
		{ID: "shop", Keys: []Key{{ID: "shop-1", Secret: shopSecret}, {ID: "shop-2", Secret: shopSecret + "2", Previous: shopSecret + "1"}}},
		{ID: "blog", Keys: []Key{{ID: "blog-1", Secret: blogSecret}}, Anonymous: []hub.Allow{{Pattern: "news", Actions: hub.ActionSubscribe}}},
		{ID: "board", Public: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return noon }
	return a
}

// refused fails unless err is a *hub.Error with the code and all of the words, and without a secret.
func refused(t *testing.T, g *hub.Grant, err error, code hub.Code, words ...string) {
	t.Helper()
	e, ok := errors.AsType[*hub.Error](err)
	if !ok || e.Code != code || g != nil {
		t.Fatalf("got %+v, %v (%T), want code %d", g, err, err, code)
	}
	for _, w := range words {
		if !strings.Contains(e.Text, w) {
			t.Errorf("the text says %q, want %q in it", e.Text, w)
		}
	}
	if strings.Contains(e.Text, "secret-01") || len(e.Text) > 400 {
		t.Errorf("the text says too much: %q", e.Text)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		apps []App
		want string
	}{
		"no app id":         {[]App{{}}, `app id "" is not allowed`},
		"odd app id":        {[]App{{ID: "a b"}}, `app id "a b" is not allowed`},
		"colon in a key id": {[]App{{ID: "a", Keys: []Key{{ID: "k:1", Secret: shopSecret}}}}, `app "a": key id "k:1"`},
		"long key id":       {[]App{{ID: "a", Keys: []Key{{ID: strings.Repeat("k", 65), Secret: shopSecret}}}}, "1 to 64"},
		"no secret":         {[]App{{ID: "a", Keys: []Key{{ID: "k", Secret: ""}}}}, `key "k" has no secret`},
		"app twice":         {[]App{{ID: "a"}, {ID: "a"}}, `app id "a" is used twice`},
		"key in two apps":   {[]App{{ID: "a", Keys: []Key{{ID: "k", Secret: shopSecret}}}, {ID: "b", Keys: []Key{{ID: "k", Secret: blogSecret}}}}, `used already, in app "a"`},
		"one secret twice":  {[]App{{ID: "a", Keys: []Key{{"k", shopSecret, shopSecret}}}}, "same secret twice"},
		"nobody's id":       {[]App{{ID: "a", Anonymous: []hub.Allow{{Pattern: "user:{user}"}}}}, "no user id"},
		"key twice":         {[]App{{ID: "a", Keys: []Key{{ID: "k", Secret: shopSecret}, {ID: "k", Secret: shopSecret}}}}, "used already"},
	} {
		_, err := New(test.apps)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret-01") {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

func TestKey(t *testing.T) {
	a := shops(t)
	g, err := a.Key("shop-2", shopSecret+"2")
	want := &hub.Grant{App: "shop", Server: true, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}
	if err != nil || !reflect.DeepEqual(g, want) {
		t.Fatalf("got %+v, %v, want %+v", g, err, want)
	}
	for _, bad := range [][2]string{{"shop-1", ""}, {"shop-1", shopSecret + "2"}, {"shop-1", shopSecret[1:]}, {"shop-1", blogSecret},
		{"", ""}, {"nobody", ""}, {"nobody", shopSecret}, {shopSecret, "shop-1"}, {"shop", shopSecret}} {
		g, err := a.Key(bad[0], bad[1])
		refused(t, g, err, hub.CodeUnauthorized, "no app key with this id and secret")
	}
	g, err = a.Key("shop-1", mint(t, Claims{Expires: noon.Add(time.Hour)}))
	refused(t, g, err, hub.CodeUnauthorized, "client token", "Bearer")
}

// While a secret is changed, both count.
func TestTwoSecrets(t *testing.T) {
	a := shops(t)
	for secret, good := range map[string]bool{shopSecret + "2": true, shopSecret + "1": true, shopSecret: false, "": false} {
		if g, err := a.Key("shop-2", secret); (err == nil) != good || good && g.App != "shop" {
			t.Errorf("the key with %q: %+v, %v", secret, g, err)
		}
		if secret == "" {
			continue
		}
		token, err := Mint("shop-2", secret, Claims{Client: "ann", Expires: noon.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if g, err := a.Token(token); (err == nil) != good || good && g.Client != "ann" {
			t.Errorf("a token signed with %q: %+v, %v", secret, g, err)
		}
	}
	if g, err := a.Key("shop-1", ""); err == nil {
		t.Errorf("no secret before is taken for an empty one: %+v", g)
	}
}

// What is refused changes nothing, and what is taken counts at once, for requests under way elsewhere too.
func TestSetAppsWhileItRuns(t *testing.T) {
	a := shops(t)
	if err := a.SetApps([]App{{ID: "shop", Keys: []Key{{ID: "new", Secret: blogSecret}}}, {ID: "a b"}}); err == nil {
		t.Fatal("took a bad app")
	}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, before := a.Key("shop-1", shopSecret)
				_, after := a.Key("new", blogSecret)
				if before != nil && after != nil {
					t.Error("there was a time without a key")
					return
				}
			}
		})
	}
	for range 100 {
		if err := a.SetApps([]App{{ID: "shop", Keys: []Key{{ID: "shop-1", Secret: shopSecret}, {ID: "new", Secret: blogSecret}}}}); err != nil {
			t.Error(err)
		}
	}
	if err := a.SetApps([]App{{ID: "shop", Keys: []Key{{ID: "new", Secret: blogSecret}}}}); err != nil {
		t.Error(err)
	}
	close(stop)
	readers.Wait()
	g, err := a.Key("shop-1", shopSecret)
	refused(t, g, err, hub.CodeUnauthorized)
}

func TestAnonymous(t *testing.T) {
	a := shops(t)
	g, err := a.Anonymous("blog")
	if want := (&hub.Grant{App: "blog", Grace: DefaultGrace, Allow: []hub.Allow{{Pattern: "news", Actions: hub.ActionSubscribe}}}); err != nil || !reflect.DeepEqual(g, want) {
		t.Errorf("got %+v, %v, want %+v", g, err, want)
	}
	g, err = a.Anonymous("board")
	if want := (&hub.Grant{App: "board", Grace: DefaultGrace}); err != nil || !reflect.DeepEqual(g, want) {
		t.Errorf("got %+v, %v, want %+v", g, err, want)
	}
	for app, word := range map[string]string{"shop": "takes no anonymous clients", "": "has 3", "cafe": `no app "cafe"`, "\xff": "no app"} {
		g, err := a.Anonymous(app)
		refused(t, g, err, hub.CodeUnauthorized, word)
	}
}

func TestAnonymousOfTheOnlyApp(t *testing.T) {
	a, err := New([]App{{ID: "board", Public: true}})
	if err != nil {
		t.Fatal(err)
	}
	if g, err := a.Anonymous(""); err != nil || g.App != "board" {
		t.Errorf("got %+v, %v", g, err)
	}
	none, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := none.Anonymous("")
	refused(t, g, err, hub.CodeUnauthorized, "has 0")
}

func TestRequest(t *testing.T) {
	a := shops(t)
	basic := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	token := mint(t, Claims{Client: "ann", Expires: noon.Add(time.Hour)})
	for _, test := range []struct {
		name, path, query string
		headers           []string
		app, client       string // of the grant
		text              string // of the refusal
	}{
		{name: "key", headers: []string{"Basic " + basic("shop-1:"+shopSecret)}, app: "shop"},
		{name: "scheme in lower case", headers: []string{"basic " + basic("blog-1:"+blogSecret)}, app: "blog"},
		{name: "token", headers: []string{"Bearer " + token}, app: "shop", client: "ann"},
		{name: "token, spaces", headers: []string{"bearer   " + token + " "}, app: "shop", client: "ann"},
		{name: "anonymous", query: "?app=blog", app: "blog"},
		{name: "anonymous, no app named", text: "has 3"},
		{name: "anonymous not allowed", query: "?app=shop", text: "takes no anonymous"},
		{name: "a bad credential is not anonymous", query: "?app=blog", headers: []string{"Basic " + basic("blog-1:x")}, text: "no app key"},
		{name: "an empty header is not anonymous", query: "?app=blog", headers: []string{""}, text: "scheme"},
		{name: "key as Bearer", headers: []string{"Bearer shop-1:" + shopSecret}, text: "send the key itself as Basic"},
		{name: "secret as Bearer", headers: []string{"Bearer " + shopSecret}, text: "not a token"},
		{name: "token as Basic", headers: []string{"Basic " + basic("shop-1:"+token)}, text: "client token"},
		{name: "no colon", headers: []string{"Basic " + basic("shop-1")}, text: "not base64"},
		{name: "no base64", headers: []string{"Basic !!"}, text: "not base64"},
		{name: "other scheme", headers: []string{"Digest x"}, text: `scheme "Digest"`},
		{name: "token in the URL of a stream", path: "/v1/sse", query: "?token=" + token, app: "shop", client: "ann"},
		{name: "token in another URL", query: "?token=" + token, text: "only for a GET of"},
		{name: "token in the URL and the header", path: "/v1/sse", query: "?token=" + token, headers: []string{"Bearer " + token}, text: "send one"},
		{name: "two tokens", path: "/v1/sse", query: "?token=" + token + "&token=" + token, text: "2 tokens"},
		{name: "an empty token is not anonymous", path: "/v1/sse", query: "?app=blog&token=", text: "not a token"},
		{name: "a key in the URL", path: "/v1/sse", query: "?token=shop-1:" + shopSecret, text: "not a token"},
		{name: "two headers", headers: []string{"Bearer " + token, "Basic " + basic("shop-1:"+shopSecret)}, text: "2 Authorization headers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, or(test.path, "/v1/channels/x/messages")+test.query, nil)
			r.Header["Authorization"] = test.headers
			g, err := a.Request(r)
			if test.text != "" {
				refused(t, g, err, hub.CodeUnauthorized, test.text)
			} else if err != nil || g.App != test.app || g.Client != test.client || g.Server != strings.Contains(strings.ToLower(strings.Join(test.headers, "")), "basic") {
				t.Errorf("got %+v, %v", g, err)
			}
		})
	}
}

func TestPrintingShowsNoSecret(t *testing.T) {
	key := Key{"shop-1", shopSecret, shopSecret + "0"}
	app := App{ID: "shop", Keys: []Key{key}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "key", key, "app", app)
	for _, s := range []string{fmt.Sprint(key), fmt.Sprintf("%+v %#v %s %q %x", key, key, key, key, key), fmt.Sprintf("%+v %#v", app, &app), log.String()} {
		if strings.Contains(s, shopSecret) || strings.Contains(s, fmt.Sprintf("%x", shopSecret)) || !strings.Contains(s, "shop-1") {
			t.Errorf("printed as %s", s)
		}
	}
}
