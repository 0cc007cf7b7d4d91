package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/outbox"
	"github.com/snoserver/sno/internal/store/local"
)

// shortLife is an API whose events die at their first failure, with a webhook "orders" at a backend that takes what it is sent when fine is set.
func shortLife(t *testing.T) (url string, x *outbox.Outbox, fine *atomic.Bool) {
	t.Helper()
	fine = new(atomic.Bool)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !fine.Load() {
			http.Error(w, "not today", http.StatusTeapot)
		}
	}))
	t.Cleanup(backend.Close)
	x = outbox.New()
	var log *local.Log
	h, err := hub.New(hub.Options{Observer: x, Open: func(s hub.Sink) (_ hub.Log, err error) {
		log, err = local.Open(local.Options{Dir: t.TempDir(), Sink: s})
		return log, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New([]auth.App{{ID: "shop", Keys: []auth.Key{{ID: "k", Secret: serveSecret}}}})
	if err != nil {
		t.Fatal(err)
	}
	h.SetApps([]hub.App{{ID: "shop"}})
	x.Start(outbox.Options{Log: log, Observe: h.Observe, Life: time.Millisecond})
	x.SetApps([]outbox.App{{ID: "shop", Endpoints: []outbox.Endpoint{{
		Name: "orders", URL: backend.URL, Secrets: [][]byte{{1}}, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}}}})
	server := httptest.NewServer(api.New(api.Options{Hub: h, Auth: a, Log: slog.New(slog.DiscardHandler), Outbox: x}))
	t.Cleanup(func() {
		server.Close()
		x.Close()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL, x, fine
}

// Dead letters are listed, shown, sent again and forgotten, and a webhook is tested, by commands.
func TestWebhooksCommand(t *testing.T) {
	url, x, fine := shortLife(t)
	sno := func(code int, args ...string) string {
		t.Helper()
		var out, errs strings.Builder
		if got := run(append(args, "--url", url, "--key", "k", "--secret", serveSecret), strings.NewReader(""), &out, &errs); got != code {
			t.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, code, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	has := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("there is no %q in\n%s", part, text)
			}
		}
	}
	x.ClientEvent(hub.Channel{App: "shop", Name: "a"}, "client-said", []byte(`{"text":"hi"}`), "12.34", "ann")
	x.SubscriptionCount(hub.Channel{App: "shop", Name: "b"}, 7)
	x.CacheMiss(hub.Channel{App: "shop", Name: "c"})
	for deadline := time.Now().Add(servePatience); !strings.Contains(sno(0, "webhooks", "--json"), `"dead":3`); {
		if time.Now().After(deadline) {
			t.Fatal(sno(0, "webhooks"))
		}
	}
	has(sno(0, "webhooks"), "WEBHOOK", "orders", "status 418: not today")
	has(sno(0, "webhooks", "dead", "orders"), "client_event", "subscription_count", "cache_miss", "status 418: not today")
	ids := map[string]string{}
	for line := range strings.Lines(sno(0, "webhooks", "dead", "orders")) {
		if fields := strings.Fields(line); fields[0] != "ID" {
			ids[fields[2]] = fields[0]
		}
	}
	has(sno(0, "webhooks", "dead", "orders", "--limit", "1"), "ID")
	has(sno(0, "webhooks", "dead", "orders", ids["a"]), "client-said", `{"text":"hi"}`, "12.34", "ann")
	has(sno(0, "webhooks", "dead", "orders", ids["b"]), "DATA", "7")
	has(sno(0, "webhooks", "dead", "orders", ids["a"], "--json"), `"data":{"text":"hi"}`, ids["a"])
	has(sno(1, "webhooks", "dead", "orders", "nothing"), "there is no dead letter")
	has(sno(1, "webhooks", "dead", "nobody"), "there is no webhook")
	has(sno(1, "webhooks", "test", "orders"), "orders has not taken the event: status 418: not today")

	fine.Store(true)
	has(sno(0, "webhooks", "test", "orders"), "orders has taken the event in ")
	has(sno(0, "webhooks", "resend", "orders", ids["a"]), "dead letters resent: 1")
	has(sno(0, "webhooks", "discard", "orders", ids["b"]), "dead letters discarded: 1")
	has(sno(1, "webhooks", "resend", "orders", ids["b"]), "there is no dead letter")
	for _, verb := range []string{"resend", "discard"} {
		has(sno(2, "webhooks", verb, "orders"), "give the id of an event, or --all")
		has(sno(2, "webhooks", verb, "orders", ids["c"], "--all"), "give the id of an event, or --all")
	}
	has(sno(2, "webhooks", "dead", "orders", "--limit", "-1"), "--limit")
	has(sno(0, "webhooks", "resend", "orders", "--all"), "dead letters resent: 1")
	has(sno(0, "webhooks", "discard", "orders", "--all"), "dead letters discarded: 0")
}
