package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

const (
	chat     = "/v1/channels/chat/messages"
	messages = "/v1/messages"
	orders   = "/v1/webhooks/orders"
)

// elsewhere are answers that no exchange has, and why.
var elsewhere = map[string]string{
	"GET /readyz 503":                      "of a server that drains or cannot store: the tests of the server have it",
	"POST /v1/webhooks/{webhook}/test 503": "of a store that cannot be read: the tests of the outbox have it",
}

// exchanges have every operation answer with every status that the document gives it, but for the streaming ones.
func exchanges(t *testing.T, url string) []exchange {
	wrong, nobody := "Authorization: Basic c2hvcC0xOng=", "Authorization: "
	ann := "Authorization: Bearer " + mint(t, "ann", "nothing", hub.ActionSubscribe)
	session := "/v1/sessions/" + connect(t, url)
	all := []exchange{
		{method: "GET", path: "/healthz", status: 200, headers: []string{nobody}},
		{method: "GET", path: "/readyz", status: 200, headers: []string{nobody}},

		{method: "POST", path: chat, body: `{"id":"a","event":"said","data":{"text":"hi"},"headers":{"h":"v"}}`, status: 200},
		{method: "POST", path: chat, body: `{"id":"a"}`, status: 200},
		{method: "POST", path: chat, body: `{"ephemeral":true,"exclude":"s"}`, status: 200},
		{method: "POST", path: chat, body: `[{"base64":"AP8="},{"data":null}]`, status: 200},
		{method: "POST", path: chat, body: `{"data":1}`, headers: []string{"Idempotency-Key: b"}, status: 200},
		{method: "POST", path: messages, body: `{"channel":"/","data":[1]}`, status: 200},
		{method: "POST", path: messages, body: `[{"channels":["a","b"]},{"channel":"c","ephemeral":true}]`, status: 200},
		{method: "POST", path: messages, body: `{}`, bad: true, status: 400},
		{method: "POST", path: messages, body: `[{"channel":"a"},{"channel":"b","expect":{"epoch":"x","offset":1}}]`, status: 409},

		{method: "GET", path: chat, status: 200},
		{method: "GET", path: chat + "?last=2&app=shop", status: 200},
		{method: "GET", path: chat + "?before=3&limit=1", status: 200},
		{method: "GET", path: chat + "?since=1h", status: 200},
		{method: "GET", path: chat + "?after=gone:1", status: 200},
		{method: "GET", path: "/v1/channels/public:news/messages", headers: []string{nobody}, status: 200},
		{method: "GET", path: messages + "?channel=/", status: 200},
		{method: "GET", path: chat + "?wait=5", bad: false, status: 400},
		{method: "GET", path: messages + "?channel=" + strings.Repeat("x", 1025), bad: true, status: 400},
		{method: "GET", path: "/v1/channels/chat/presence", status: 200},
		{method: "GET", path: "/v1/channels/chat/presence?limit=1", bad: true, status: 400},
		{method: "GET", path: "/v1/presence?channel=..", status: 200},
		{method: "GET", path: "/v1/presence", bad: true, status: 400},

		{method: "GET", path: "/v1/channels", status: 200},
		{method: "GET", path: "/v1/channels?prefix=c&after=ca&limit=2", status: 200},
		{method: "GET", path: "/v1/channels?limit=0", bad: true, status: 400},
		{method: "GET", path: "/v1/channels/chat", status: 200},
		{method: "GET", path: "/v1/channels/%01", status: 400},

		{method: "GET", path: "/v1/sessions?client=bob&channel=chat", status: 200},
		{method: "GET", path: "/v1/sessions?limit=x", bad: true, status: 400},
		{method: "GET", path: session, status: 200},
		{method: "GET", path: session + "?x=1", bad: true, status: 400},
		{method: "GET", path: "/v1/sessions/nobody", status: 404},
		{method: "DELETE", path: session + "?reconnect=perhaps", bad: true, status: 400},
		{method: "DELETE", path: session, status: 204},
		{method: "DELETE", path: "/v1/sessions/nobody", status: 404},
		{method: "DELETE", path: "/v1/sessions?client=bob", status: 200},
		{method: "DELETE", path: "/v1/sessions", bad: true, status: 400},

		{method: "GET", path: "/v1/webhooks", status: 200},
		{method: "GET", path: "/v1/webhooks?x=1", bad: true, status: 400},
		{method: "GET", path: orders + "/dead", status: 200},
		{method: "GET", path: orders + "/dead?after=x", bad: true, status: 400},
		{method: "GET", path: orders + "/dead?id=x&limit=1", status: 400},
		{method: "GET", path: orders + "/dead?id=unknown&app=shop", status: 404},
		{method: "GET", path: "/v1/webhooks/nobody/dead", status: 404},
		{method: "DELETE", path: orders + "/dead", status: 200},
		{method: "DELETE", path: orders + "/dead?x=1", bad: true, status: 400},
		{method: "DELETE", path: orders + "/dead?id=unknown", status: 404},
		{method: "POST", path: orders + "/resend", status: 200},
		{method: "POST", path: orders + "/resend?x=1", bad: true, status: 400},
		{method: "POST", path: orders + "/resend?id=unknown", status: 404},
		{method: "POST", path: orders + "/test", status: 200},
		{method: "POST", path: orders + "/test?x=1", bad: true, status: 400},
		{method: "POST", path: "/v1/webhooks/nobody/test", status: 404},
	}
	for _, operation := range []string{"GET /v1/webhooks", "GET " + orders + "/dead", "DELETE " + orders + "/dead", "POST " + orders + "/resend", "POST " + orders + "/test"} {
		method, path, _ := strings.Cut(operation, " ")
		all = append(all, exchange{method: method, path: path, headers: []string{wrong}, status: 401}, exchange{method: method, path: path, headers: []string{ann}, status: 403})
	}
	for _, path := range []string{chat, messages} {
		channel := ""
		if path == messages {
			channel = `"channel":"chat",`
		}
		all = append(all, []exchange{
			{method: "POST", path: path, body: `{` + channel + `"dta":1}`, bad: true, status: 400},
			{method: "POST", path: path, body: `{` + channel + `"data":1}`, headers: []string{wrong}, status: 401},
			{method: "POST", path: path, body: `{` + channel + `"data":1}`, headers: []string{ann}, status: 403},
			{method: "POST", path: path, body: `{` + channel + `"expect":{"epoch":"x","offset":1}}`, status: 409},
			{method: "POST", path: path, body: `{` + channel + `"data":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413},
			{method: "POST", path: path, body: `{` + channel + `"data":1}`, headers: []string{"Content-Type: text/plain"}, bad: true, status: 415},
			{method: "POST", path: path, body: `{` + channel + `"data":1}`, status: 503, fails: hub.Errorf(hub.CodeOverloaded, "full")},
			{method: "POST", path: path, body: `{` + channel + `"data":1}`, status: 507, fails: hub.Errorf(hub.CodeDiskFull, "full")},
			{method: "POST", path: path, body: `{` + channel + `"data":1}`, status: 500, fails: errors.New("broken")},
		}...)
	}
	for _, path := range []string{"/v1/channels/public:news/messages?", messages + "?channel=public:news&"} {
		all = append(all, []exchange{
			{method: "GET", path: path + "wait=1&after=" + end(t, url), headers: []string{nobody}, status: 204},
			{method: "GET", path: path + "limit=1", headers: []string{nobody, "If-None-Match: *"}, status: 304},
		}...)
	}
	for _, path := range []string{chat + "?", messages + "?channel=chat&"} {
		all = append(all, []exchange{
			{method: "GET", path: path + "after=x", bad: true, status: 400},
			{method: "GET", path: path + "wait=56&after=a:1", bad: true, status: 400},
			{method: "GET", path: path, headers: []string{wrong}, status: 401},
			{method: "GET", path: path, headers: []string{ann}, status: 403},
			{method: "GET", path: path, status: 500, fails: errors.New("broken")},
		}...)
	}
	for _, path := range []string{"/v1/channels/chat/presence", "/v1/presence?channel=chat", "/v1/channels", "/v1/channels/chat", "/v1/sessions", session} {
		all = append(all, exchange{method: "GET", path: path, headers: []string{wrong}, status: 401}, exchange{method: "GET", path: path, headers: []string{ann}, status: 403})
	}
	for path, body := range map[string]string{"/v1/tokens": `{"client":"eve","channels":{"a":["publish"]},"ttl":60,"id":"t"}`, "/v1/tokens/revoke": `{"id":"t"}`} {
		done := map[string]int{"/v1/tokens": 200, "/v1/tokens/revoke": 204}[path]
		all = append(all, []exchange{
			{method: "POST", path: path, body: body, status: done},
			{method: "POST", path: path, body: `{"clent":"eve"}`, bad: true, status: 400},
			{method: "POST", path: path, body: body, headers: []string{wrong}, status: 401},
			{method: "POST", path: path, body: body, headers: []string{ann}, status: 403},
			{method: "POST", path: path, body: `{"x":1` + strings.Repeat(" ", 34<<20) + `}`, bad: true, status: 413},
			{method: "POST", path: path, body: body, headers: []string{"Content-Type: text/plain"}, bad: true, status: 415},
		}...)
	}
	all = append(all, exchange{method: "POST", path: "/v1/tokens/revoke", body: `{"client":"eve"}`, status: 507, fails: hub.Errorf(hub.CodeDiskFull, "full")})
	for _, path := range []string{session, "/v1/sessions?client=bob"} {
		all = append(all, exchange{method: "DELETE", path: path, headers: []string{wrong}, status: 401}, exchange{method: "DELETE", path: path, headers: []string{ann}, status: 403})
	}
	return all
}

// end is where the channel public:news ends, to which nobody publishes.
func end(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url + "/v1/channels/public:news/messages")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var page struct{ Next string }
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	return page.Next
}

// connect has bob follow a channel until the test ends, and returns his session's id.
func connect(t *testing.T, url string) string {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Options{URL: url, Token: func(context.Context) (string, error) { return mint(t, "bob", "*", hub.AllActions), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) }) // its session has been ended
	if _, err := c.Subscribe(t.Context(), "chat", client.SubscribeOptions{}, func(client.Event) {}); err != nil {
		t.Fatal(err)
	}
	return c.Session()
}

func mint(t *testing.T, client, pattern string, actions hub.Action) string {
	t.Helper()
	signed, err := auth.Mint("shop-1", api.Secret, auth.Claims{Client: client, Allow: []hub.Allow{{Pattern: pattern, Actions: actions}}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
