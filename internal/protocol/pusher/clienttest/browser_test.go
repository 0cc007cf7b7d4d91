package clienttest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser starts Chromium with an empty profile.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := "/usr/bin/chromium"
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("chromium"); err != nil && os.Getenv("CI") == "" {
			t.Skip("no chromium here: sh .ci/deps")
		} else if err != nil {
			t.Fatal("no chromium, and CI is set: .ci/deps installs it")
		}
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// page is a page of an app, of another origin than the server's, with the browser build of pusher-js.
type page struct {
	t   *testing.T
	ctx context.Context
}

// open shows the page in a tab. Its private channels are authorised by a backend of its own, which signs as libraries do.
func open(t *testing.T, browser context.Context) *page {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/pusher.js", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "testdata/node_modules/pusher-js/dist/web/pusher.js")
	}))
	mux.HandleFunc("/auth", func(w http.ResponseWriter, r *http.Request) {
		text := r.FormValue("socket_id") + ":" + r.FormValue("channel_name")
		fmt.Fprintf(w, `{"auth":"key-1:%s"}`, sign(text))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><title>app</title><script src="/pusher.js"></script>`)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	// A tab lives as long as the context of its first step, so that one has no deadline.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	p := &page{t, ctx}
	within, stop := context.WithTimeout(ctx, 2*patience)
	defer stop()
	if err := chromedp.Do(within, chromedp.Navigate(srv.URL)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *page) run(script string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](script+"; undefined")); err != nil {
		p.t.Fatalf("%s: %v", script, err)
	}
}

func evaluate[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// await waits until an expression is true.
func (p *page) await(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*patience)
	defer cancel()
	poll := chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(2*patience))
	if _, err := chromedp.Run(ctx, poll); err != nil {
		p.t.Fatalf("waiting for %s: %v\nthe page has seen: %s", expression, err, evaluate[string](p, `JSON.stringify(window.seen)`))
	}
}

// connect makes a client of the page, which notes in seen what happens, and in got the events of its channels.
func (p *page) connect(key, options string) {
	p.t.Helper()
	p.run(fmt.Sprintf(`
		window.seen = []; window.got = []
		window.pusher = new Pusher(%q, Object.assign({cluster: "", forceTLS: false, channelAuthorization: {endpoint: "/auth"}}, %s))
		pusher.connection.bind("state_change", ({current}) => seen.push(current))
		pusher.connection.bind("error", e => seen.push(e))
		pusher.bind_global((name, data) => { if (!name.startsWith("pusher")) got.push(data) })
		for (const name of ["page", "private-page"]) pusher.subscribe(name)`, key, options))
}

// follows publishes to both channels of the page, and wants it to see that, and to send something itself.
func (p *page) follows(at place, round int) {
	p.t.Helper()
	p.await(`pusher.allChannels().every(c => c.subscribed)`)
	p.run(`got.length = 0`)
	var want []string
	for n := range 30 {
		data := fmt.Sprintf(`{"n":%d,"text":"é€😀 %d"}`, n, round)
		want = append(want, data)
		at.publish(p.t, []string{"page", "private-page"}[n%2], `{"event":"e","data":`+data+`}`)
	}
	p.await(`got.length >= 30`)
	if got, want := evaluate[string](p, `JSON.stringify(got)`), "["+strings.Join(want, ",")+"]"; got != want {
		p.t.Errorf("the page got %s\nwant %s", got, want)
	}
	other := connectRaw(p.t, at)
	other.subscribe("private-page", "")
	other.next()
	p.run(fmt.Sprintf(`pusher.channel("private-page").trigger("client-e", {round: %d})`, round))
	other.want(fmt.Sprintf(`{"event":"client-e","channel":"private-page","data":{"round":%d}}`, round))
}

// hosts are the options of pusher-js for a server.
func hosts(url string, transports ...string) string {
	host, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	o := map[string]any{"wsHost": host, "wsPort": port, "httpHost": host, "httpPort": port}
	if transports != nil {
		o["enabledTransports"] = transports
	}
	b, _ := json.Marshal(o) // strings
	return string(b)
}

// The browser build does the same over each transport, from a page of another origin; also when one response of streaming is not enough.
func TestBrowser(t *testing.T) {
	needsPackages(t)
	b := browser(t)
	for _, transport := range []string{"ws", "xhr_streaming", "xhr_polling"} {
		t.Run(transport, func(t *testing.T) {
			at := serve(t)
			p := open(t, b)
			p.connect(at.Key, hosts(at.URL, transport))
			p.follows(at, 1)
			large := strings.Repeat("é€😀", 20_000) // 80,000 characters
			for range 12 {
				at.publish(t, "page", fmt.Sprintf(`{"event":"large","data":%q}`, large))
			}
			p.await(`got.filter(d => d.length === 80000).length === 12`)
			p.follows(at, 2)
			if got := evaluate[string](p, `pusher.connection.connection.transport.name`); got != transport {
				t.Errorf("it uses %s", got)
			}
			if got := evaluate[string](p, `JSON.stringify(seen)`); got != `["connected"]` {
				t.Errorf("the page has seen %s", got)
			}
		})
	}
}

// Where a proxy lets no WebSocket through, the browser build finds another way by itself, without a word from its app.
func TestBrowserBehindAProxyWithoutWebSocket(t *testing.T) {
	needsPackages(t)
	at := serve(t)
	p := open(t, browser(t))
	p.connect(at.Key, hosts(withoutWebSocket(t, at.URL)))
	p.follows(at, 1)
	if got := evaluate[string](p, `pusher.connection.connection.transport.name`); got != "xhr_streaming" {
		t.Errorf("it uses %s", got)
	}
}

// With the function of docs/pusher.md a page gets what it has missed, once and in order, over each transport.
func TestBrowserReplay(t *testing.T) {
	needsPackages(t)
	b := browser(t)
	for _, transport := range []string{"ws", "xhr_streaming", "xhr_polling"} {
		t.Run(transport, func(t *testing.T) {
			at := serve(t)
			function, err := os.ReadFile(filepath.Join(at.Docs, "replay.mjs"))
			if err != nil {
				t.Fatal(err)
			}
			r := startRelay(t, at.URL)
			p := open(t, b)
			p.connect(at.Key, hosts(r.url, transport))
			p.run(strings.Replace(string(function), "export function", "window.replay = function", 1) + "; replay(pusher)")
			p.await(`pusher.allChannels().every(c => c.subscribed)`)
			var want []string
			publish := func() {
				for range 10 {
					n := fmt.Sprint(len(want))
					at.publish(t, "page", `{"event":"e","data":`+n+`}`)
					want = append(want, n)
				}
			}
			drops := 4
			if transport == "xhr_streaming" { // pusher-js gives it up for good after the second
				drops = 1
			}
			// Requests may overtake each other when the browser repeats one that it has lost: what the page asks for then comes behind its subscription, and it is told so.
			const late = `got.some(d => d && d.reason === "late")`
			for range drops {
				publish()
				p.await(fmt.Sprintf(`got.filter(d => typeof d === "number").length >= %d || %s`, len(want)/2, late)) // others are on their way
				r.cut()
				publish()
			}
			p.await(fmt.Sprintf(`got.includes(%d) || %s`, len(want)-1, late))
			p.await(`pusher.allChannels().every(c => c.subscribed)`)
			publish()
			p.await(fmt.Sprintf(`got.includes(%d)`, len(want)-1))
			got, told := evaluate[string](p, `JSON.stringify(got.filter(d => typeof d === "number"))`), evaluate[string](p, `JSON.stringify(got.filter(d => typeof d === "object"))`)
			if transport != "ws" && evaluate[bool](p, late) {
				p.run(`if (got.some((n, i) => i > 0 && n <= Math.max(...got.slice(0, i).filter(Number)))) throw "not in order"`)
				return
			}
			if got != "["+strings.Join(want, ",")+"]" {
				t.Errorf("the page got %s\nand was told %s", got, told)
			}
		})
	}
}
