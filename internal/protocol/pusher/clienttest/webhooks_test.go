package clienttest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/snoserver/sno/internal/config"
)

// backend takes webhooks, and gives what it has taken to who gets it.
type backend struct {
	mu    sync.Mutex
	taken []delivery
}

// delivery is a request as Pusher's library for Node reads it.
type delivery struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"rawBody"`
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(b.taken)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d := delivery{Headers: map[string]string{}, Body: string(body)}
	for _, name := range []string{"content-type", "x-pusher-key", "x-pusher-signature"} {
		d.Headers[name] = r.Header.Get(name)
	}
	b.taken = append(b.taken, d)
}

// What pusher-js does is told to a backend, as Pusher tells it.
func TestWebhooks(t *testing.T) {
	needsPackages(t)
	told := httptest.NewServer(&backend{})
	t.Cleanup(told.Close)
	ten := 10
	p := serve(t, func(c *config.Config) {
		c.Apps[0].Pusher.SubscriptionCount = true
		c.Apps[0].Webhooks = []config.Webhook{{Name: "pusher", URL: told.URL, Format: "pusher", Batch: &ten, AllowNetworks: []string{"127.0.0.1"}}}
	})
	p.Backend = told.URL
	p.script(t, "webhooks.test.mjs", "ws")
}
