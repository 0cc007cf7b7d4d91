package server

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/pusher"
	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/websocket"
	"github.com/snoserver/sno/internal/wire/xhr"
)

// Close codes of pusher's WebSockets for what is not read: clients come back a second after the first, and at once after the other.
const (
	pusherTooLarge = 1009
	pusherTimeout  = 4201
)

// pusherPatience is how long the handshake of a client made for Pusher waits for its turn. Such a client takes a refusal for a broken connection and is back after a
// second, as all others are then: a refused crowd does not become smaller.
const pusherPatience = 8 * time.Second

// pusherDoor is where clients and libraries made for Pusher come in.
type pusherDoor struct {
	s         *Server
	protocol  *pusher.Protocol
	websocket atomic.Pointer[websocket.Endpoint]
	xhr       *xhr.Endpoint
}

func (s *Server) newPusherDoor() *pusherDoor {
	d := &pusherDoor{s: s, protocol: &pusher.Protocol{Hub: s.hub, Signatures: s.auth, Backends: s.outbox, Logger: s.log}}
	d.reload()
	d.xhr = xhr.New(xhr.Options{MessageBytes: d.protocol.FrameBytes, AgainCode: pusherTimeout})
	return d
}

// reload puts the apps and limits in force, for connections from now on.
func (d *pusherDoor) reload() {
	now := d.s.now.Load()
	d.protocol.SetApps(pusherApps(&now.Config))
	d.websocket.Store(websocket.New(websocket.Options{
		Loops: d.s.loops, MessageBytes: d.protocol.FrameBytes(), TooLargeCode: pusherTooLarge, TimeoutCode: pusherTimeout,
		CompressFrom: int(now.WebSocket.CompressFrom), AllowOrigin: d.s.allowed, GoodbyeWithoutCode: true,
	}))
}

// pusherApps are the apps that may be used so.
func pusherApps(cfg *config.Config) (apps []pusher.App) {
	for i := range cfg.Apps {
		from := &cfg.Apps[i]
		o := from.Pusher
		if !o.Enabled {
			continue
		}
		a := pusher.App{
			ID: from.ID, ClientEvents: o.ClientEvents, SubscriptionCount: o.SubscriptionCount,
			AuthorizedConnections: o.AuthorizedConnections, StrictLimits: o.StrictLimits,
		}
		if o.ClientEventRate != nil {
			a.ClientEventRate = *o.ClientEventRate
		}
		for j := range from.Keys {
			a.Keys = append(a.Keys, from.Keys[j].ID)
		}
		apps = append(apps, a)
	}
	return apps
}

// The paths of connections: a WebSocket, and requests where there can be none.
const (
	pusherSocket    = "/app/{key}"
	pusherSession   = "/pusher/app/{key}/{server}/{session}/"
	pusherStreaming = pusherSession + "xhr_streaming"
	pusherPolling   = pusherSession + "xhr"
	pusherSend      = pusherSession + "xhr_send"
)

func (d *pusherDoor) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+pusherSocket, d.s.beginning(pusherPatience, d.serveWebSocket))
	mux.Handle("/apps/", d.protocol.API())
	t := d.s.transports
	t.route(mux, pusherStreaming, t.answer(d.receive("xhr_streaming")), "POST")
	t.route(mux, pusherPolling, t.answer(d.receive("xhr_polling")), "POST")
	t.route(mux, pusherSend, t.answer(d.send), "POST")
}

// xhrSession names the session of a request.
func xhrSession(r *http.Request) string {
	return r.PathValue("key") + "/" + r.PathValue("server") + "/" + r.PathValue("session")
}

// xhrRequest names a request as its client does: by a time and a number.
func xhrRequest(r *http.Request) string {
	t, n := r.URL.Query().Get("t"), r.URL.Query().Get("n")
	if t == "" || n == "" {
		return ""
	}
	return t + "." + n
}

// receive answers what a client without WebSocket asks for what there is. Only what begins a session waits for its turn.
func (d *pusherDoor) receive(transport string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		key := xhrSession(r)
		if !d.xhr.Has(key) && !d.s.gate.Begin(w, r, clientOf(r).Address, pusherPatience) {
			return nil
		}
		o := pusher.Opening{Key: r.PathValue("key"), Version: r.URL.Query().Get("protocol"), Transport: transport, Address: d.s.address(r)}
		served := d.xhr.Serve(w, r, key, xhrRequest(r), transport == "xhr_streaming", func(conn wire.Conn) wire.Handler {
			return d.s.telemetry.Connection(transport, d.protocol.Handler(conn, o))
		})
		if !served {
			return hub.Errorf(hub.CodeOverloadedConnect, "the server has as many sessions without a socket as it can; come back after the time in Retry-After")
		}
		return nil
	}
}

// send takes what a client without WebSocket says.
func (d *pusherDoor) send(w http.ResponseWriter, r *http.Request) error {
	body, err := d.s.transports.body(w, r, 2*d.protocol.FrameBytes()) // each message is a string within it
	if err != nil {
		return err
	}
	switch err := d.xhr.Send(xhrSession(r), xhrRequest(r), body); {
	case errors.Is(err, xhr.ErrUnknown):
		return hub.Errorf(hub.CodeNotFound, "%s; connect anew", err)
	case errors.Is(err, xhr.ErrTooMany):
		return hub.Errorf(hub.CodeRateLimited, "%s; send one after the other", err)
	case err != nil:
		return hub.Errorf(hub.CodeBadRequest, "%s", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *pusherDoor) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	d.s.conns.Add(1)
	defer d.s.conns.Done()
	o := pusher.Opening{Key: r.PathValue("key"), Version: r.URL.Query().Get("protocol"), Transport: "websocket", Address: d.s.address(r)}
	err := d.websocket.Load().Serve(w, r, func(conn wire.Conn) wire.Handler {
		return d.s.telemetry.Connection(o.Transport, d.protocol.Handler(conn, o))
	})
	if err != nil {
		d.s.telemetry.RefusedConnection("handshake")
		d.s.log.Debug("refused a WebSocket", "remote", r.RemoteAddr, "error", err)
	}
}
