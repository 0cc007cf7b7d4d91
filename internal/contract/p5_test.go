package contract

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/client"
)

// TestP5PresenceConverges watches members leave: one that says goodbye within a second, one whose network goes silent within 40.
func TestP5PresenceConverges(t *testing.T) {
	t.Parallel()
	url, _ := serve(t)
	watch := follow(t, dial(t, url), "c", client.SubscribeOptions{Presence: true})
	next(t, "snapshot", watch.presence)

	silent := silentMember(t, url)
	lastHeard := time.Now()
	expectPresence(t, watch, "enter", "silent")

	polite := dial(t, url)
	if err := polite.Enter(t.Context(), "c", "polite", nil); err != nil {
		t.Fatal(err)
	}
	expectPresence(t, watch, "enter", "polite")
	left := time.Now()
	if err := polite.Leave(t.Context(), "c", "polite"); err != nil {
		t.Fatal(err)
	}
	expectPresence(t, watch, "leave", "polite")
	if took := time.Since(left); took > time.Second {
		t.Errorf("a clean leave took %v", took)
	}

	expectPresence(t, watch, "leave", "silent")
	if took := time.Since(lastHeard); took > 40*time.Second {
		t.Errorf("a silent death took %v", took)
	}
	silent.Close()
}

func expectPresence(t *testing.T, f *follower, action, member string) {
	t.Helper()
	if p := next(t, action, f.presence); p.Action != action || p.Member.ID != member {
		t.Fatalf("got %s of %q, want %s of %q", p.Action, p.Member.ID, action, member)
	}
}

// silentMember enters and is never heard again: nobody reads its socket, so nobody answers the server's pings.
func silentMember(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+url[len("http"):]+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, frame := range []string{`{"type":"connect"}`, `{"type":"enter","ref":1,"channel":"c","member":"silent"}`} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	return ws
}
