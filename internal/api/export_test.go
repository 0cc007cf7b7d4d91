package api

import (
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/outbox"
	"github.com/snoserver/sno/internal/store/local"
)

// Paths are the patterns of the API's own paths.
func Paths() []string { return slices.Sorted(maps.Keys(routes)) }

// OpenBroken starts an API of the key shop-1 with Secret whose log fails as it is told.
func OpenBroken(t *testing.T) (url string, fails func(error)) {
	b := &broken{}
	dir := t.TempDir()
	s := openOn(t, func(sink hub.Sink) (log hub.Log, err error) {
		b.Log, err = local.Open(local.Options{Dir: dir, Sink: sink})
		return b, err
	})
	return s.url, b.fails
}

// Secret is that of the key shop-1.
const Secret = secret

// OpenOutbox starts an API of the key shop-1 with Secret whose app has webhooks.
func OpenOutbox(t *testing.T, o outbox.Options, endpoints ...outbox.Endpoint) (url string, box *outbox.Outbox) {
	dir := t.TempDir()
	var log *local.Log
	s := openOn(t, func(sink hub.Sink) (_ hub.Log, err error) {
		log, err = local.Open(local.Options{Dir: dir, Sink: sink})
		return log, err
	})
	o.Log, box = log, outbox.New()
	box.Start(o)
	box.SetApps([]outbox.App{{ID: "shop", Endpoints: endpoints}})
	server := httptest.NewServer(New(Options{Hub: s.hub, Auth: keys(t), Log: slog.New(slog.DiscardHandler), Outbox: box}))
	t.Cleanup(func() {
		server.Close()
		box.Close()
	})
	return server.URL, box
}
