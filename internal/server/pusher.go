package server

import (
	"net/http"
	"sync/atomic"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/protocol/pusher"
	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/websocket"
)

// Close codes of pusher's WebSockets for what is not read: clients come back a second after the first, and at once after the other.
const (
	pusherTooLarge = 1009
	pusherTimeout  = 4201
)

// pusherDoor is where clients and libraries made for Pusher come in.
type pusherDoor struct {
	s         *Server
	protocol  *pusher.Protocol
	websocket atomic.Pointer[websocket.Endpoint]
}

func (s *Server) newPusherDoor() *pusherDoor {
	d := &pusherDoor{s: s, protocol: &pusher.Protocol{Hub: s.hub, Signatures: s.auth, Logger: s.log}}
	d.reload()
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

func (d *pusherDoor) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+pusherSocket, d.s.beginning(d.serveWebSocket))
	mux.Handle("/apps/", d.protocol.API())
}

const pusherSocket = "/app/{key}"

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
