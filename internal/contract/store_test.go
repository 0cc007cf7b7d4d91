package contract

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/native"
	"github.com/snoserver/sno/internal/store/local"
	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/websocket"
)

// bare is a server with WebSocket only, on a store whose options a test has chosen.
type bare struct {
	hub  *hub.Hub
	http *http.Server
	addr string
	done chan struct{}
}

// serveOn starts a bare server. addr is where to listen, or ":0" of loopback if empty.
func serveOn(t *testing.T, addr string, o local.Options) *bare {
	t.Helper()
	s := &bare{done: make(chan struct{})}
	var err error
	s.hub, err = hub.New(hub.Options{Open: func(sink hub.Sink) (hub.Log, error) {
		o.Sink, o.Logger = sink, slog.New(slog.DiscardHandler)
		return local.Open(o)
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.hub.SetApps([]hub.App{{ID: "dev"}})
	everything := []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}
	keys, err := auth.New([]auth.App{{ID: "dev", Keys: []auth.Key{{ID: "dev", Secret: secret}}, Anonymous: everything}})
	if err != nil {
		t.Fatal(err)
	}
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	p := &native.Protocol{Hub: s.hub, Credentials: keys, Logger: slog.New(slog.DiscardHandler), Backoff: 100 * time.Millisecond}
	e := websocket.New(websocket.Options{Subprotocol: "sno.v1", MessageBytes: p.FrameBytes(), TooLargeCode: int(hub.CodeFrameTooLarge)})
	s.http = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = e.Serve(w, r, func(c wire.Conn) wire.Handler { return p.Handler(c, native.Connection{}) })
	})}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener)
	}()
	return s
}

func (s *bare) url() string { return "http://" + s.addr }

// stop ends every connection and closes the store; its error is the store's.
func (s *bare) stop() error {
	s.http.Close()
	<-s.done
	s.hub.Sessions(func(c *hub.Session) { c.End(hub.Errorf(hub.CodeGoaway, "stopped")) })
	return s.hub.Close()
}
