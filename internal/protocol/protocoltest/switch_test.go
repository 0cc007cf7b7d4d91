package protocoltest

import (
	"encoding/json"
	"fmt"
	"testing"
)

// TestCursorGoesFromTransportToTransport takes a cursor token on one transport and goes on with it on the next, over every pair of them: a client that
// changes its transport misses nothing, gets nothing twice, and is told only what has changed among the members.
func TestCursorGoesFromTransportToTransport(t *testing.T) {
	p := startProcess(t)
	backend := p.dial(t, "websocket").(*nativeClient)
	defer backend.Close()
	token := ""
	n := 0
	for _, transport := range []string{"websocket", "stream", "sse", "poll", "websocket", "sse", "stream", "poll", "stream", "websocket", "poll", "sse", "websocket"} {
		ask(t, backend, "ok", fmt.Sprintf(`{"type":"enter","ref":1,"channel":"open:switch","member":"bot","data":%d}`, n))
		for range 3 {
			n++
			p.publish(t, "open:switch", fmt.Sprint(n))
		}
		token = readOn(t, p, transport, token, n)
	}
}

// readOn follows the channel from a token, "" for the beginning, by a transport, wants the three newest messages and the member as it is now, and returns
// the token for what comes after.
func readOn(t *testing.T, p *process, transport, token string, n int) string {
	t.Helper()
	c := p.dial(t, transport).(*nativeClient)
	defer c.Close()
	begin, action := fmt.Sprintf(`"cursor":%q`, token), "update"
	if token == "" {
		begin, action = `"channel":"open:switch","presence":true,"last":3`, "snapshot"
	}
	if err := c.send([]byte(`{"type":"subscribe",` + begin + `}`)); err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprint(n - 2), fmt.Sprint(n - 1), fmt.Sprint(n)}
	for len(want) > 0 || action != "" {
		frame, err := c.next(patience)
		if err != nil {
			t.Fatalf("%s: %v; still due: messages %v, presence %q", transport, err, want, action)
		}
		var f struct {
			Type, Action string
			Data         json.RawMessage
		}
		if err := json.Unmarshal(frame, &f); err != nil {
			t.Fatal(err)
		}
		switch {
		case f.Type == "message" && len(want) > 0 && string(f.Data) == want[0]:
			want = want[1:]
		case f.Type == "presence" && f.Action == action:
			action = ""
		case f.Type != "subscribed":
			t.Fatalf("%s: unexpected %s; due: messages %v, presence %q", transport, frame, want, action)
		}
	}
	return read(ask(t, c, "cursor", `{"type":"cursor","ref":9}`)).Cursor
}

// ask sends a request and returns the answer, which must be the next frame of that type.
func ask(t *testing.T, c *nativeClient, kind, request string) json.RawMessage {
	t.Helper()
	if err := c.send([]byte(request)); err != nil {
		t.Fatal(err)
	}
	frame, err := c.next(patience)
	if err != nil || typeOf(frame) != kind {
		t.Fatalf("%s was answered by %s, %v", request, frame, err)
	}
	return frame
}
