package server

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/config"
)

const friend, stranger = "https://app.example", "https://evil.example"

func shop(c *config.Config) {
	c.Apps = []config.App{{ID: "shop", Keys: []config.Key{{ID: "shop-1", Secret: testSecret}}}}
}

// ask sends a request of a page.
func ask(t *testing.T, client *http.Client, method, url, origin string, header map[string]string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", origin)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPreflight: before a page of another origin sends a credential in a header, or JSON that says so, its browser asks; and what has no other answer names its methods.
func TestPreflight(t *testing.T) {
	s := start(t, func(c *config.Config) { shop(c); c.Origins = []string{friend} })
	asks := map[string]string{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type,last-event-id"}
	for path, methods := range map[string]string{"/v1/stream": "GET, POST", "/v1/sse": "GET, POST", "/v1/poll": "GET, POST", "/v1/send": "POST", "/v1/ws": "GET"} {
		t.Run(path, func(t *testing.T) {
			a := ask(t, http.DefaultClient, http.MethodOptions, s.URL()+path, friend, asks)
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin": friend, "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": methods,
				"Access-Control-Max-Age": "7200", "Vary": "Origin", "Allow": methods + ", OPTIONS",
			} {
				if got := a.Header.Get(name); a.StatusCode != http.StatusNoContent || got != want {
					t.Errorf("a friend: %d, %s is %q, want %q", a.StatusCode, name, got, want)
				}
			}
			for header := range strings.SplitSeq(asks["Access-Control-Request-Headers"], ",") {
				if got := a.Header.Get("Access-Control-Allow-Headers"); !strings.Contains(strings.ToLower(got), header) {
					t.Errorf("a friend may send %q, want %s", got, header)
				}
			}
			a = ask(t, http.DefaultClient, http.MethodOptions, s.URL()+path, stranger, asks)
			if body := text(t, a); a.StatusCode != http.StatusForbidden || a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("Access-Control-Allow-Methods") != "" || !strings.Contains(body, `"code":4002`) {
				t.Errorf("a stranger: %d %v %s", a.StatusCode, a.Header, body)
			}
			a = ask(t, http.DefaultClient, http.MethodPut, s.URL()+path, friend, nil)
			if body := text(t, a); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != methods+", OPTIONS" || a.Header.Get("Access-Control-Allow-Origin") != friend {
				t.Errorf("PUT: %d %v %s", a.StatusCode, a.Header, body)
			}
		})
	}
}

// TestPagesCanReadRefusals: an EventSource of another origin that may not read the answer would never come back.
func TestPagesCanReadRefusals(t *testing.T) {
	s := start(t, func(c *config.Config) { shop(c); c.Origins, c.Limits.Connections = []string{friend}, 1 })
	first := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(first.CloseIdleConnections)
	if a := ask(t, first, http.MethodGet, s.URL()+"/v1/sse?channel=c", friend, nil); a.StatusCode/100 == 5 {
		t.Fatalf("the first: %d", a.StatusCode)
	}
	for origin, want := range map[string]string{friend: friend, stranger: ""} {
		second := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		a := ask(t, second, http.MethodGet, s.URL()+"/v1/sse?channel=c", origin, map[string]string{"Accept": "text/event-stream"})
		if body := text(t, a); a.Header.Get("Access-Control-Allow-Origin") != want || !strings.HasPrefix(body, "retry: ") {
			t.Errorf("a page of %s: %d %v %q", origin, a.StatusCode, a.Header, body)
		}
	}
}
