package browsertest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// preflighted has a page do what browsers ask about first: a token in a header, a body that says it is JSON, a cursor in a header.
const preflighted = `
	const SNO_URL = %q, token = %q
	window.frames_ = [], window.polled = [], window.failed = []
	const headers = {Authorization: "Bearer " + token, "Content-Type": "application/json"}
	const post = (path, ...frames) => fetch(SNO_URL + path, {method: "POST", headers, body: JSON.stringify(frames)})
	const attempt = (name, f) => f().catch(error => failed.push(name + ": " + error.name))
	attempt("stream", async () => {
		const answer = await post("/v1/stream", {type: "connect"}, {type: "subscribe", ref: 1, channel: "tab"})
		let rest = ""
		for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
			const lines = (rest + text).split("\n")
			rest = lines.pop()
			lines.forEach(line => frames_.push(JSON.parse(line)))
		}
	})
	attempt("poll", async () => { polled.push(...await (await post("/v1/poll?wait=0", {type: "connect"})).json()) })
	attempt("sse", async () => {
		const answer = await fetch(SNO_URL + "/v1/sse?channel=tab", {headers: {...headers, "Last-Event-ID": ""}})
		window.event_ = new TextDecoder().decode((await answer.body.getReader().read()).value)
	})
	window.send = () => attempt("send", async () => {
		const {session, session_key} = frames_[0]
		window.sent = (await post("/v1/send", {type: "connect", session, session_key}, {type: "publish", ref: 2, channel: "tab", data: "from the page"})).status
	})
	0`

// elsewhere opens a page of another origin than the server's, as a host of any name that resolves to this machine.
func elsewhere(t *testing.T, host string) *tab {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><p>a page of somebody's own</p>")) // the test sees what did not arrive
	}))
	t.Cleanup(site.Close)
	ctx, cancel := chromedp.NewContext(browser(t, chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1")))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	page := &tab{t, ctx}
	_, port, err := net.SplitHostPort(site.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	page.do(chromedp.Navigate("http://" + host + ":" + port))
	return page
}

// TestBrowserOfAnotherOrigin: a page that may connect follows, polls and sends with its token in a header.
func TestBrowserOfAnotherOrigin(t *testing.T) {
	s := startServer(t)
	token := s.command(t, "token", "--client", "ann", "--allow", "tab=subscribe,publish")
	page := elsewhere(t, "127.0.0.1")
	evaluate[int](page, fmt.Sprintf(preflighted, s.url(), token))
	page.await(`frames_.some(f => f.type === "subscribed") && polled.length > 0 && !!window.event_ || failed.length > 0`)
	evaluate[int](page, `send(); 0`)
	page.await(`!!window.sent && frames_.some(f => f.type === "message" && f.data === "from the page") || failed.length > 0`)
	if failed := evaluate[[]string](page, `failed`); len(failed) > 0 || evaluate[int](page, `sent`) != http.StatusNoContent {
		t.Errorf("failed: %v", failed)
	}
	for what, want := range map[string]string{`JSON.stringify(frames_[0])`: `"client":"ann"`, `JSON.stringify(polled[0])`: `"client":"ann"`, `event_`: "retry: "} {
		if got := evaluate[string](page, what); !strings.Contains(got, want) {
			t.Errorf("%s is %s, want %s", what, got, want)
		}
	}
}

// TestBrowserOfAStrangersOrigin: the browser sends nothing for a page that the server does not know, though the page has a good token.
func TestBrowserOfAStrangersOrigin(t *testing.T) {
	s := startServer(t)
	token := s.command(t, "token", "--client", "ann", "--allow", "tab=subscribe,publish")
	page := elsewhere(t, "evil.example")
	evaluate[int](page, fmt.Sprintf(preflighted, s.url(), token))
	page.await(`failed.length === 3`)
	if got := evaluate[string](page, `failed.sort().join()`); got != "poll: TypeError,sse: TypeError,stream: TypeError" {
		t.Errorf("failed: %s", got)
	}
	if got := evaluate[int](page, `frames_.length + polled.length`); got != 0 {
		t.Errorf("the page got %d frames", got)
	}
}
