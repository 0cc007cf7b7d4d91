package hostile

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// dial opens a WebSocket and says nothing.
func (x *target) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	return x.dialWith(t, &websocket.Dialer{})
}

func (x *target) dialWith(t *testing.T, d *websocket.Dialer) *websocket.Conn {
	t.Helper()
	ws, res, err := d.DialContext(t.Context(), "ws://"+x.addr+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	t.Cleanup(func() { ws.Close() })
	return ws
}

// connect opens a WebSocket with a session.
func (x *target) connect(t *testing.T) *websocket.Conn {
	t.Helper()
	ws := x.dial(t)
	send(t, ws, `{"type":"connect"}`)
	if f := next(t, ws); f.Type != "welcome" {
		t.Fatalf("instead of a welcome came %+v", f)
	}
	return ws
}

func send(t *testing.T, ws *websocket.Conn, frame string) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

// answer is a frame of the server's, or a problem.
type answer struct {
	Type, Name, Text, Detail, Channel string
	Session                           string
	SessionKey                        string `json:"session_key"`
	Code                              int
	Ref                               json.RawMessage
}

// next returns the next frame of a WebSocket, the first if several come at once.
func next(t *testing.T, ws *websocket.Conn) (a answer) {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	_, msg, err := ws.ReadMessage()
	if err == nil && msg[0] == '[' {
		all := []answer{}
		err = json.Unmarshal(msg, &all)
		a = append(all, a)[0]
	} else if err == nil {
		err = json.Unmarshal(msg, &a)
	}
	if err != nil {
		t.Fatalf("%v: %.200s", err, msg)
	}
	return a
}

// refused expects an error for the client.
func refused(t *testing.T, what string, got answer, code int, text string) {
	t.Helper()
	if got.Code != code || !strings.Contains(got.Text+got.Detail, text) {
		t.Errorf("%.100s: got %d %.300q, want %d with %q", what, got.Code, got.Text+got.Detail, code, text)
	}
}

// closed expects the end of a connection, after whatever else comes.
func closed(t *testing.T, what string, ws *websocket.Conn, code int, text string) {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	for {
		_, _, err := ws.ReadMessage()
		if err == nil {
			continue
		}
		if c, ok := errors.AsType[*websocket.CloseError](err); !ok || c.Code != code || !strings.Contains(c.Text, text) {
			t.Errorf("%.100s: the end was %v, want %d with %q", what, err, code, text)
		}
		ws.Close()
		return
	}
}

func badFrames(t *testing.T, x *target) {
	deep := strings.Repeat("[", 100_000)
	for _, test := range []struct{ frame, text string }{
		{``, "not a JSON frame"},
		{`nonsense`, "not a JSON frame"},
		{`17`, "not a JSON frame"},
		{`null`, "type is missing"},
		{`{"type":"ping"`, "not a JSON frame"},
		{`{"type":"ping"} {"type":"ping"}`, "not a JSON frame"},
		{`{"type":"dance"}`, `"dance": there is no such frame`},
		{`{"type":"connect"}`, "connected already"},
		{deep, "not a JSON frame"},
		{`{"type":"publish","channel":"x","data":` + deep, "not a JSON frame"},
		{`{"type":"publish","channel":"x","data":` + deep + strings.Repeat("]", 100_000) + `}`, "not a JSON frame"},
		{`{"type":"publish","channel":"x","data":` + strings.Repeat(`{"a":`, 100_000) + `1` + strings.Repeat("}", 100_000) + `}`, "not a JSON frame"},
		{"{\"type\":\"publish\",\"channel\":\"x\",\"data\":\"\xff\"}", "not UTF-8"},
		{"{\"type\":\"enter\",\"channel\":\"x\",\"member\":\"m\",\"data\":\"\xff\"}", "not UTF-8"},
		{"{\"type\":\"subscribe\",\"channel\":\"\xc0\x80\"}", "not UTF-8"},
		{"{\"type\":\"ping\",\"ref\":\"\xff\"}", "not UTF-8"},
	} {
		ws := x.connect(t)
		send(t, ws, test.frame)
		refused(t, test.frame, next(t, ws), 4300, test.text)
		send(t, ws, `{"type":"ping","ref":"still there"}`)
		if f := next(t, ws); f.Type != "pong" || string(f.Ref) != `"still there"` {
			t.Errorf("%.100s: behind it came %+v", test.frame, f)
		}
		ws.Close()
		first := x.dial(t)
		send(t, first, test.frame)
		if !strings.Contains(test.frame, `"connect"`) {
			closed(t, test.frame, first, 4000, "")
		}
		first.Close()
	}
	ws := x.connect(t)
	for range 101 {
		send(t, ws, `{`)
	}
	closed(t, "a hundred bad frames", ws, 4005, "101 frames could not be understood")
}

// fields are all those of frames, with a value of a wrong type each.
var fields = map[string][]string{
	"type": {`1`, `[]`, `{}`, `true`}, "token": {`1`, `[]`}, "key": {`{}`}, "app": {`1`}, "session_key": {`[1]`}, "channel": {`1`, `[]`, `{}`, `true`, `1e999`},
	"channels": {`"x"`, `{}`, `[1]`, `[[]]`}, "epoch": {`1`, `{}`}, "offset": {`"1"`, `-1`, `1.5`, `1e30`, `18446744073709551616`}, "last": {`"1"`, `1.5`, `1e30`},
	"since": {`{}`, `[]`, `true`}, "before": {`-1`, `"1"`}, "limit": {`"1"`, `{}`}, "cursor": {`1`, `[]`}, "presence": {`1`, `"true"`}, "version": {`-1`, `"1"`}, "event": {`1`},
	"base64": {`1`, `"!"`}, "headers": {`[]`, `{"a":1}`, `"x"`}, "id": {`1`}, "echo": {`"no"`}, "ephemeral": {`0`}, "ordered": {`0`}, "retry": {`0`}, "expect": {`1`, `{"epoch":1}`, `[]`},
	"member": {`1`}, "ref": {`{}`, `[]`, `1.5`, `true`},
}

func wrongTypes(t *testing.T, x *target) {
	kinds := map[string]string{"since": "subscribe", "base64": "publish"} // whose value is looked at by that request only
	for field, values := range fields {
		ws := x.connect(t)
		for _, v := range values {
			kind := kinds[field]
			if kind == "" {
				kind = "subscribe"
			}
			frame := `{"type":"` + kind + `","channel":"typed","` + field + `":` + v + `}`
			if field == "type" {
				frame = `{"type":` + v + `}`
			}
			send(t, ws, frame)
			refused(t, frame, next(t, ws), 4300, field)
		}
		ws.Close()
	}
	// Of a key that stands there twice the last counts, as everywhere in Go and JavaScript.
	ws := x.connect(t)
	send(t, ws, `{"type":"subscribe","type":"ping","ref":1,"ref":2}`)
	if f := next(t, ws); f.Type != "pong" || string(f.Ref) != "2" {
		t.Errorf("keys that stand there twice: %+v", f)
	}
	ws.Close()
}

func badNames(t *testing.T, x *target) {
	ws := x.connect(t)
	for _, test := range []struct {
		name string // as JSON
		code int
		text string
	}{
		{`""`, 4300, "1 to 1024 bytes, not 0"},
		{`"` + strings.Repeat("n", 5000) + `"`, 4300, "1 to 1024 bytes, not 5000"},
		{`"\u0000"`, 4300, "without control characters"},
		{`"a\u007fb"`, 4300, "without control characters"},
		{`"line\nbreak"`, 4300, "without control characters"},
		{`">"`, 0, ""}, {`"*"`, 0, ""}, {`".."`, 0, ""}, {`"../../etc/passwd"`, 0, ""}, {`"%00"`, 0, ""}, {`"a.*.>"`, 0, ""}, {`"\ud800"`, 0, ""}, {`"$SYS"`, 0, ""},
	} {
		for _, kind := range []string{"subscribe", "unsubscribe", "publish", "history", "presence"} {
			send(t, ws, `{"type":"`+kind+`","ref":1,"channel":`+test.name+`}`)
			f := next(t, ws)
			if kind == "unsubscribe" && test.code != 0 {
				continue // that nobody is subscribed is as true
			}
			if f.Code != test.code || !strings.Contains(f.Text, test.text) {
				t.Errorf("%s %.30s: %+v", kind, test.name, f)
			}
		}
		if f := x.post(t, "/v1/poll?wait=0", `{"type":"connect"}{"type":"subscribe","ref":1,"channel":`+test.name+`}`); f.Code != 0 {
			t.Errorf("poll %.30s: %+v", test.name, f)
		}
	}
	ws.Close()
}

func tooMuch(t *testing.T, x *target) {
	ws := x.connect(t)
	many := `"c"` + strings.Repeat(`,"c"`, 99_999)
	for _, test := range []struct {
		frame string
		code  int
		text  string
	}{
		{`{"type":"publish","channels":[` + many + `],"data":1}`, 4308, "100000 channels in one publish; the limit is 100"},
		{`{"type":"publish","channels":[],"data":1}`, 4300, "channel is missing"},
		{`{"type":"publish","channel":"c","headers":{"a":"` + strings.Repeat("h", 9000) + `"}}`, 4308, "the limit is 8192"},
		{`{"type":"publish","channel":"c","id":"` + strings.Repeat("i", 257) + `"}`, 4300, "at most 256"},
		{`{"type":"publish","channel":"c","event":"` + strings.Repeat("e", 257) + `"}`, 4300, "at most 256"},
		{`{"type":"publish","channel":"c","data":"` + strings.Repeat("d", 1<<20) + `"}`, 4302, "limits.message_bytes"},
		{`{"type":"publish","channels":["` + strings.Join(names(100), `","`) + `"],"data":"` + strings.Repeat("d", 1<<20-2) + `"}`, 4308, "over all its channels"},
		{`{"type":"enter","channel":"c","member":"m","data":"` + strings.Repeat("d", 17<<10) + `"}`, 4308, "the limit is 16384"},
		{`{"type":"history","channel":"c","limit":1000000000}`, 4300, "1000"},
		{`{"type":"token","token":"` + strings.Repeat("t", 100_000) + `"}`, 4001, ""},
	} {
		send(t, ws, test.frame)
		refused(t, test.frame, next(t, ws), test.code, test.text)
	}
	ws.Close()
}

func oversized(t *testing.T, x *target) {
	const frameBytes = 1<<20*4/3 + 64<<10
	ws := x.connect(t)
	send(t, ws, strings.Repeat("x", frameBytes+1))
	refused(t, "a frame that is too large", next(t, ws), 4302, "nothing was stored")
	if err := ws.WriteMessage(websocket.BinaryMessage, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	refused(t, "binary", next(t, ws), 4300, "base64")
	_ = ws.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 3*frameBytes)) // the server may have closed before all is written
	closed(t, "a frame that is far too large", ws, 4004, "far too large")

	parts := x.connect(t)
	w, err := parts.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * frameBytes / 1000 {
		if _, err := w.Write(make([]byte, 1000)); err != nil {
			break
		}
	}
	closed(t, "one in fragments", parts, 4004, "")
}

// bombs inflate to more than a message may have, by far; wire/websocket has one of a gibibyte.
func bombs(t *testing.T, x *target) {
	for _, known := range []bool{true, false} {
		ws := x.dialWith(t, &websocket.Dialer{EnableCompression: true})
		if known {
			send(t, ws, `{"type":"connect"}`)
			next(t, ws)
		}
		before := live()
		_ = ws.WriteMessage(websocket.TextMessage, make([]byte, 16<<20)) // the server may have closed before all is written
		closed(t, "a bomb", ws, 4004, "far too large")
		if grown := live() - before; grown > 8<<20 {
			t.Errorf("%d bytes are held after it", grown)
		}
	}
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = "n" + strings.Repeat("x", i)
	}
	return all
}
