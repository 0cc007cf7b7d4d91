package browsertest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// browserProgram is the program for pages in docs/getting-started.md.
var browserProgram = regexp.MustCompile("(?ms)^```js\n(// browser\\.js\n.*?)^```")

// backend is a site of somebody's own: a page with the program, and the tokens for its user.
func backend(t *testing.T, s *server) *httptest.Server {
	t.Helper()
	text, err := os.ReadFile("../../../docs/getting-started.md")
	if err != nil {
		t.Fatal(err)
	}
	program := browserProgram.FindSubmatch(text)
	if program == nil {
		t.Fatal("docs/getting-started.md has no browser.js")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><script>const SNO_URL = '" + s.url() + "', shown = []\n" + string(program[1]) +
			"follow(message => shown.push(message.data))</script>")) // the test sees what did not arrive
	})
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(s.command(t, "token", "--client", "ann", "--allow", "orders=subscribe"))
	})
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return site
}

// command runs the program as the server's administrator and returns what it prints.
func (s *server) command(t *testing.T, arguments ...string) []byte {
	bin, err := program()
	if err != nil {
		t.Error(err)
		return nil
	}
	secret, err := os.ReadFile(filepath.Join(s.data, "dev-secret"))
	if err != nil {
		t.Error(err)
		return nil
	}
	c := exec.CommandContext(t.Context(), bin, arguments...)
	c.Env = append(os.Environ(), "SNO_URL="+s.url(), "SNO_KEY=dev", "SNO_SECRET="+strings.TrimSpace(string(secret)))
	out, err := c.Output()
	if err != nil {
		t.Errorf("sno %v: %v", arguments, err)
	}
	return []byte(strings.TrimSpace(string(out)))
}

// The page shows every message once through a kill of the server, and when its token was made worthless it goes on with a fresh one.
func TestBrowserGettingStarted(t *testing.T) {
	s := startServer(t)
	site := backend(t, s)
	ctx, cancel := chromedp.NewContext(browser(t))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	page := &tab{t, ctx}
	s.publish("orders", "placed", "1")
	page.do(chromedp.Navigate(site.URL))
	page.await(`shown.join() === "1"`)
	s.kill()
	s.start()
	s.publish("orders", "placed", "2")
	page.await(`shown.join() === "1,2"`)
	s.command(t, "token", "revoke", "--client", "ann")
	s.publish("orders", "placed", "3")
	page.await(`shown.join() === "1,2,3"`)
}
