package server

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/native"
	"github.com/snoserver/sno/internal/wire/stream"
)

// deaf is a connection that is asked for what there is without being woken.
type deaf struct{}

func (deaf) Wake()             {}
func (deaf) Close(int, string) {}

// TestSendAsSoonAsWelcomed: whoever has read welcome may send beside the stream at once, however quick it is.
func TestSendAsSoonAsWelcomed(t *testing.T) {
	s := start(t, func(c *config.Config) {
		shop(c)
		c.Apps[0].Anonymous = map[string][]string{"c": {"subscribe"}}
	})
	p := s.transports.protocol
	for range 5000 {
		h := p.Handler(deaf{}, native.Connection{Transport: "stream", Append: stream.AppendLine, Beside: true})
		go h.Receive([]byte(`{"type":"connect"}`), false)
		var out []byte
		for len(out) == 0 {
			out, _ = h.Pull(out, true)
		}
		refused := p.Send(readWelcome(t, out).connect(t))
		h.Closed(time.Now())
		if refused != nil {
			t.Fatalf("refused: %v", refused)
		}
	}
}

// TestSendWhileGoingOn: a client that knows its session's key may send while the session goes on by another connection. It is taken or refused, and nothing breaks.
func TestSendWhileGoingOn(t *testing.T) {
	s := start(t, func(c *config.Config) {
		shop(c)
		c.Apps[0].Anonymous = map[string][]string{"c": {"subscribe"}}
	})
	p := s.transports.protocol
	first := p.Handler(deaf{}, native.Connection{Transport: "stream", Append: stream.AppendLine, Beside: true})
	first.Receive([]byte(`{"type":"connect"}`), false)
	out, _ := first.Pull(nil, true)
	w := readWelcome(t, out)
	first.Closed(time.Now())
	for range 2000 {
		h := p.Handler(deaf{}, native.Connection{Transport: "stream", Append: stream.AppendLine, Beside: true})
		connected := make(chan struct{})
		go func() {
			defer close(connected)
			h.Receive(fmt.Appendf(nil, `{"type":"connect","session_key":%q}`, w.Key), false)
		}()
		var refused *hub.Error
		for begun := false; !begun; {
			select {
			case <-connected:
				begun = true
			default:
			}
			if refused = p.Send(w.connect(t)); refused != nil && refused.Code != hub.CodeNotFound {
				t.Fatalf("refused: %v", refused)
			}
		}
		if refused != nil {
			t.Fatalf("the session goes on, but: %v", refused)
		}
		h.Closed(time.Now())
	}
}

// welcome is what a client needs of the frame to send beside its stream.
type welcome struct {
	Session string
	Key     string `json:"session_key"`
}

func readWelcome(t *testing.T, line []byte) (w welcome) {
	t.Helper()
	if err := json.Unmarshal(line, &w); err != nil || w.Key == "" {
		t.Fatalf("%v: %s", err, line)
	}
	return w
}

// connect is the first frame of what is sent beside the stream.
func (w welcome) connect(t *testing.T) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]string{"type": "connect", "session": w.Session, "session_key": w.Key})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
