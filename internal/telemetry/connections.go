package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/wire"
)

// How a connection ended that the server did not end.
const (
	goodbye = "goodbye" // the client closed it in order
	gone    = "gone"    // it broke, was given up, or its transport has no goodbye
)

// connections are counted between a wire and its protocol, the same way for every transport.
type connections struct {
	now            *prometheus.GaugeVec
	begun          *prometheus.CounterVec
	ended          *prometheus.CounterVec
	refused        *prometheus.CounterVec
	received, sent *prometheus.CounterVec

	mu        sync.Mutex
	transport map[string]*transport
}

// transport is the metrics of one, looked up once and not for each frame.
type transport struct {
	name           string
	now            prometheus.Gauge
	begun          prometheus.Counter
	ended          *prometheus.CounterVec
	received, sent prometheus.Counter
}

func newConnections(r prometheus.Registerer) connections {
	f := factory{r}
	now := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sno_connections", Help: "Connections there are just now. A poll is one while it waits for its answer."}, []string{"transport"})
	f.MustRegister(now)
	return connections{
		now:       now,
		begun:     f.counter("sno_connects_total", "Connections that have begun.", "transport"),
		ended:     f.counter("sno_disconnects_total", "Connections that have ended, by why: goodbye and gone for those that the server has not ended, else the name of the code.", "transport", "code"),
		refused:   f.counter("sno_refused_connections_total", "Connections that were refused before they began, by why: the name of a code, or handshake for what is not one of a WebSocket.", "reason"),
		received:  f.counter("sno_received_bytes_total", "Bytes of frames from clients, without what the transport adds.", "transport"),
		sent:      f.counter("sno_sent_bytes_total", "Bytes of frames to clients, without what the transport adds.", "transport"),
		transport: map[string]*transport{},
	}
}

func (c *connections) of(name string) *transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.transport[name]
	if t == nil {
		t = &transport{
			name: name, now: c.now.WithLabelValues(name), begun: c.begun.WithLabelValues(name),
			ended:    c.ended.MustCurryWith(prometheus.Labels{"transport": name}),
			received: c.received.WithLabelValues(name), sent: c.sent.WithLabelValues(name),
		}
		c.transport[name] = t
	}
	return t
}

// RefusedConnection counts a connection that was refused before it began, by a reason of the server's own words: the name of a code, or "handshake".
func (t *Telemetry) RefusedConnection(reason string) { t.conns.refused.WithLabelValues(reason).Inc() }

// Connection counts what passes between a connection and its handler. transport is a word of the server's.
func (t *Telemetry) Connection(transport string, h wire.Handler) wire.Handler {
	of := t.conns.of(transport)
	of.begun.Inc()
	of.now.Inc()
	return &connection{Handler: h, of: of}
}

// connection is a handler that is counted.
type connection struct {
	wire.Handler
	of  *transport
	end int // Pull's; Closed comes after the last Pull
	// answered: it was a poll that has ended with its answer.
	answered bool
}

// Receive implements wire.Handler.
func (c *connection) Receive(msg []byte, binary bool) {
	c.of.received.Add(float64(len(msg)))
	c.Handler.Receive(msg, binary)
}

// TooLarge implements wire.Handler.
func (c *connection) TooLarge(size int64) {
	c.of.received.Add(float64(size))
	c.Handler.TooLarge(size)
}

// Pull implements wire.Handler.
func (c *connection) Pull(dst []byte, wait bool) ([]byte, wire.Next) {
	out, next := c.Handler.Pull(dst, wait)
	n := len(out) - len(dst)
	if next.Shared != nil {
		n += len(next.Shared.Bytes)
	}
	if n > 0 {
		c.of.sent.Add(float64(n))
	}
	c.end = next.End
	return out, next
}

// Closed implements wire.Handler.
func (c *connection) Closed(lastHeard time.Time) {
	c.of.now.Dec()
	c.of.ended.WithLabelValues(c.why(lastHeard)).Inc()
	c.Handler.Closed(lastHeard)
}

func (c *connection) why(lastHeard time.Time) string {
	switch {
	case c.end != 0:
		return hub.Code(c.end).String()
	case lastHeard.IsZero(), c.answered:
		return goodbye
	}
	return gone
}
