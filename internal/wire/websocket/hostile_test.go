package websocket

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/loop"
)

const (
	final      = 0x80
	compressed = 0x40
)

// frame is a client's frame; its mask is zero, so that the payload can be read.
func frame(first byte, payload []byte) []byte {
	b := []byte{first, 0x80 | 127}
	switch n := len(payload); {
	case n < 126:
		b[1] = 0x80 | byte(n)
	case n < 1<<16:
		b[1] = 0x80 | 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// raw writes bytes beneath the client's WebSocket.
func raw(t *testing.T, ws *websocket.Conn, b ...[]byte) {
	t.Helper()
	if _, err := ws.NetConn().Write(bytes.Join(b, nil)); err != nil {
		t.Fatal(err)
	}
}

func expectClose(t *testing.T, ws *websocket.Conn, code int, text string) {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	_, _, err := ws.ReadMessage()
	if closed, ok := errors.AsType[*websocket.CloseError](err); !ok || closed.Code != code || !strings.Contains(closed.Text, text) {
		t.Errorf("the end was %v, want %d with %q", err, code, text)
	}
}

// bomb is the payload of a compressed message (RFC 7692 §7.2.1) of a gibibyte of zeros.
func bomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(bytes.Repeat(b.Bytes(), 1<<10), []byte{0, 0, 0xff, 0xff})
}

func dialDeflate(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, res, err := (&websocket.Dialer{EnableCompression: true}).Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	if got := res.Header.Get("Sec-Websocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
		t.Fatalf("the server agrees to %q", got)
	}
	return ws
}

// counted counts what is read from a connection.
type counted struct {
	net.Conn
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n += n
	return n, err
}

func TestCompression(t *testing.T) {
	url, handlers := serveWith(t, Options{CompressFrom: 500}, nil)
	var came counted
	d := websocket.Dialer{EnableCompression: true, NetDial: func(network, addr string) (net.Conn, error) {
		nc, err := net.Dial(network, addr)
		came.Conn = nc
		return &came, err
	}}
	ws, _, err := d.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	h := <-handlers
	for _, test := range []struct {
		size       int
		vetted     bool
		compressed bool
	}{{499, true, false}, {500, true, true}, {limit, true, true}, {limit, false, false}} {
		h.vetted.Store(test.vetted)
		before, msg := came.n, strings.Repeat("x", test.size)
		if err := ws.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		expect(t, ws, msg)
		if took := came.n - before; took < test.size != test.compressed {
			t.Errorf("%+v: it took %d bytes", test, took)
		}
	}
}

func TestDeflateIsAgreedTo(t *testing.T) {
	for offer, want := range map[string]bool{
		"permessage-deflate":                                                    true,
		"permessage-deflate; client_max_window_bits":                            true, // Chromium
		"x-webkit-deflate-frame, permessage-deflate;server_no_context_takeover": true,
		"permessage-deflate; server_max_window_bits=10":                         false,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":     true, // RFC 7692 §5.2: in order of preference
		"x-webkit-deflate-frame":                                                false,
		"":                                                                      false,
	} {
		r := &http.Request{Header: http.Header{"Sec-Websocket-Extensions": {offer}}}
		if got := offersDeflate(r); got != want {
			t.Errorf("%q: %v", offer, got)
		}
	}
}

// TestBomb sends a megabyte that would inflate to a gigabyte.
func TestBomb(t *testing.T) {
	sent := frame(final|compressed|websocket.TextMessage, bomb(t))
	url, handlers := serve(t, nil)
	for _, vetted := range []bool{true, false} {
		ws := dialDeflate(t, url)
		h := <-handlers
		h.vetted.Store(vetted)
		before := allocated()
		start := time.Now()
		raw(t, ws, sent)
		expectClose(t, ws, 4004, "far too large")
		took := time.Since(start)
		ws.Close()
		h.wait(t)
		grown := allocated() - before
		t.Logf("vetted %v: %d kB, %v, %d kB allocated", vetted, len(sent)>>10, took, grown>>10)
		if grown > 4<<20 {
			t.Errorf("%d bytes were allocated", grown)
		}
	}
}

// allocated is how many bytes have been allocated since the start, live or not.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestStrangersInflateLittle is about a peer that has not said who it is: its compressed messages are bounded more tightly.
func TestStrangersInflateLittle(t *testing.T) {
	url, handlers := serveWith(t, Options{MessageBytes: 2 * strangerBytes}, nil)
	for _, test := range []struct {
		name             string
		size             int
		deflated, vetted bool
		code             int
	}{
		{"small", strangerBytes, true, false, 0},
		{"large", strangerBytes + 1, true, false, 4004},
		{"large as it is", strangerBytes + 1, false, false, 0},
		{"large of somebody known", strangerBytes + 1, true, true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			ws := dialDeflate(t, url)
			h := <-handlers
			h.vetted.Store(test.vetted)
			msg := strings.Repeat("x", test.size)
			ws.EnableWriteCompression(test.deflated)
			if err := ws.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil {
				t.Fatal(err)
			}
			if test.code == 0 {
				expect(t, ws, msg)
			} else {
				expectClose(t, ws, test.code, "far too large")
			}
		})
	}
}

func TestRefusedFrames(t *testing.T) {
	const text, continuation, ping = websocket.TextMessage, 0, websocket.PingMessage
	many := bytes.Repeat(frame(continuation, nil), maxFragments)
	for name, test := range map[string]struct {
		sent [][]byte
		code int
		text string
	}{
		"too many fragments":          {[][]byte{frame(text, []byte("{")), many}, 4004, "in more than 4096 frames"},
		"damaged compression":         {[][]byte{frame(final|compressed|text, []byte{0xff, 0xff, 0xff})}, 1007, "damaged"},
		"compressed continuation":     {[][]byte{frame(text, nil), frame(final|compressed|continuation, nil)}, 1002, "RFC 7692"},
		"compressed ping":             {[][]byte{frame(final|compressed|ping, nil)}, 1002, "RFC 7692"},
		"unknown opcode":              {[][]byte{frame(final|5, nil)}, 1002, "no opcode 5"},
		"long ping":                   {[][]byte{frame(final|ping, make([]byte, 126))}, 1002, "at most 125"},
		"ping in fragments":           {[][]byte{frame(ping, nil)}, 1002, "in fragments"},
		"continuation of nothing":     {[][]byte{frame(final|continuation, nil)}, 1002, "none has begun"},
		"message within a message":    {[][]byte{frame(text, nil), frame(final|text, nil)}, 1002, "begins within another"},
		"no mask":                     {[][]byte{{final | text, 1, 'x'}}, 1002, "must have a mask"},
		"reserved bits":               {[][]byte{frame(final|0x30|text, nil)}, 1002, "RSV"},
		"claims 2^62 bytes":           {[][]byte{{final | text, 0x80 | 127, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 2*limit+1)}, 4004, "far too large"},
		"close with a code of nobody": {[][]byte{frame(final|websocket.CloseMessage, []byte{0, 1})}, 1002, "not a code"},
	} {
		t.Run(name, func(t *testing.T) {
			url, handlers := serve(t, nil)
			ws := dialDeflate(t, url)
			raw(t, ws, test.sent...)
			expectClose(t, ws, test.code, test.text)
			ws.Close()
			if last := (<-handlers).wait(t); last.IsZero() {
				t.Error("it counts as a goodbye")
			}
		})
	}
}

// TestFragmentsOfAnHonestPeer are as many as there may be, with pings between them.
func TestFragmentsOfAnHonestPeer(t *testing.T) {
	url, _ := serve(t, nil)
	ws := dial(t, url)
	sent := [][]byte{frame(websocket.TextMessage, []byte("a"))}
	for range maxFragments - 2 {
		sent = append(sent, frame(0, nil))
	}
	sent = append(sent, frame(final|websocket.PingMessage, []byte("?")), frame(final, []byte("z")))
	raw(t, ws, sent...)
	expect(t, ws, "az")
}

// TestFloodOfPings must cost the server no memory, and the peer gets one answer, to the newest (RFC 6455 §5.5.3).
func TestFloodOfPings(t *testing.T) {
	read := make(chan struct{})
	url, handlers := serve(t, read)
	ws := dial(t, url)
	pongs, last := 0, ""
	ws.SetPongHandler(func(s string) error { pongs, last = pongs+1, s; return nil })
	h := <-handlers
	h.send(strings.Repeat("x", 32<<20)) // more than the sockets hold
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	_, big, err := ws.NextReader() // its header is here: the writer is within this message, and no pong can leave before its end
	if err != nil {
		t.Fatal(err)
	}
	flood := bytes.Repeat(frame(final|websocket.PingMessage, []byte("again")), 1000)
	before := live()
	for range 1000 {
		raw(t, ws, flood)
	}
	raw(t, ws, frame(final|websocket.PingMessage, []byte("last")), frame(final|websocket.TextMessage, []byte("hello")))
	select {
	case read <- struct{}{}: // the handler has what was sent behind the pings
	case <-time.After(patience):
		t.Fatal("the pings were not read")
	}
	if grown := int64(live() - before); grown > 1<<20 {
		t.Errorf("a million pings hold %d bytes", grown)
	}
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.Copy(io.Discard, big); err != nil || n != 32<<20 {
		t.Fatalf("%d bytes of the message came, %v", n, err)
	}
	expect(t, ws, "hello")
	if pongs != 1 || last != "last" {
		t.Errorf("%d pongs came, the last %q; want the one to the newest ping", pongs, last)
	}
}

// live is how many bytes are held.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// bare is a connection without a driver: what the peer sends is put in by hand, in the time of a bubble.
type bare struct {
	c   *conn
	mu  sync.Mutex
	due *time.Timer
}

func newBare(o Options, receive func()) *bare {
	b := &bare{}
	b.c = &conn{o: &o, link: b, handler: &busy{receive: receive}}
	return b
}

func (b *bare) Wake() {}
func (b *bare) Kill() {}
func (b *bare) Due(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.due != nil {
		b.due.Stop()
	}
	b.due = time.AfterFunc(time.Until(at), b.c.Due)
}

// input puts bytes in, and delivers what is complete with them.
func (b *bare) input(p []byte) {
	for len(p) > 0 {
		n, then := b.c.Input(p)
		if p = p[n:]; then == loop.Stop {
			b.c.Deliver()
		}
	}
}

// busy is a handler that takes its time, and has nothing to say.
type busy struct{ receive func() }

func (h *busy) Receive([]byte, bool)                        { h.receive() }
func (h *busy) TooLarge(int64)                              {}
func (h *busy) Pull(dst []byte, _ bool) ([]byte, wire.Next) { return dst, wire.Next{} }
func (h *busy) Heartbeat()                                  {}
func (h *busy) Closed(time.Time)                            {}

// TestSlowMessages are read in the time of a bubble.
func TestSlowMessages(t *testing.T) {
	long := frame(final|websocket.TextMessage, make([]byte, 1<<20))
	drip := bytes.Repeat(frame(0, nil), 100)
	for _, test := range []struct {
		name  string
		bytes []byte
		piece int
		every time.Duration
		ends  time.Duration // 0: it passes
	}{
		{"1 MiB at 20 kB a second", long, 2000, 100 * time.Millisecond, 0},
		{"1 MiB at 5 kB a second", long, 500, 100 * time.Millisecond, 60 * time.Second},
		{"a byte a second", long, 1, time.Second, 30 * time.Second},
		{"an empty fragment a second", append(frame(websocket.TextMessage, nil), drip...), 6, time.Second, 30 * time.Second},
		{"a header that does not end", []byte{final | websocket.TextMessage}, 1, time.Second, 31 * time.Second},
		{"a message an hour", bytes.Repeat(frame(final|websocket.TextMessage, nil), 10), 6, time.Hour, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newBare(Options{MessageBytes: 1 << 20, TimeoutCode: 4101}, func() {})
				start := time.Now()
				for b := test.bytes; len(b) > 0 && c.c.closing.Load() == nil; b = b[min(test.piece, len(b)):] {
					time.Sleep(test.every)
					c.input(b[:min(test.piece, len(b))])
				}
				for test.ends > 0 && c.c.closing.Load() == nil && time.Since(start) < time.Hour {
					time.Sleep(time.Second)
				}
				took, closing := time.Since(start), c.c.closing.Load()
				if (closing != nil) != (test.ends > 0) || closing != nil && closing.code != 4101 {
					t.Errorf("after %v: %+v", took, closing)
				}
				if closing != nil && (took < test.ends-2*time.Second || took > test.ends+5*time.Second) {
					t.Errorf("it took %v, want about %v", took, test.ends)
				}
			})
		})
	}
}

// TestWaitingForTheHandlerIsNotHeldAgainstThePeer is about a peer that sends faster than it is read: its message may lie in the sockets for long.
func TestWaitingForTheHandlerIsNotHeldAgainstThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		received := 0
		c := newBare(Options{MessageBytes: 1 << 20, TimeoutCode: 4101}, func() {
			received++
			time.Sleep(time.Minute)
		})
		one := frame(final|websocket.TextMessage, make([]byte, 1000))
		sent := bytes.Repeat(one, 10)
		c.input(sent[:5*len(one)+500]) // the sixth is there in part while the others are handled
		time.Sleep(messagePatience / 2)
		c.input(sent[5*len(one)+500:])
		if received != 10 || c.c.closing.Load() != nil {
			t.Errorf("%d were received; closed: %+v", received, c.c.closing.Load())
		}
	})
}

// FuzzInput compares what is made of a stream of frames with what gorilla/websocket makes of it, however it is cut into reads.
func FuzzInput(f *testing.F) {
	f.Add(frame(final|websocket.TextMessage, []byte("hello")), 1)
	f.Add(append(frame(websocket.TextMessage, []byte("he")), frame(final, []byte("llo"))...), 3)
	f.Add(append(frame(final|websocket.PingMessage, nil), frame(final|websocket.BinaryMessage, make([]byte, 300))...), 7)
	f.Add([]byte{final | websocket.TextMessage, 0x85, 1, 2, 3, 4, 'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1}, 2)
	f.Add(frame(final|websocket.CloseMessage, []byte{3, 232}), 2)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		piece = min(max(piece, 1), 4096)
		whole, wholeEnds := ours(stream, len(stream))
		cut, cutEnds := ours(stream, piece)
		if !slices.Equal(whole, cut) || wholeEnds != cutEnds {
			t.Fatalf("whole: %q, ends %v; in pieces of %d: %q, ends %v", whole, wholeEnds, piece, cut, cutEnds)
		}
		theirs, theirEnds := gorillas(t, stream)
		if !slices.Equal(whole, theirs) || wholeEnds != theirEnds {
			t.Fatalf("ours: %q, ends %v; gorilla/websocket's: %q, ends %v", whole, wholeEnds, theirs, theirEnds)
		}
	})
}

// collector is a handler that keeps what it is given.
type collector struct {
	busy
	got []string
}

func (h *collector) Receive(msg []byte, binary bool) {
	h.got = append(h.got, fmt.Sprintf("%v %s", binary, msg))
}

// ours are the messages in a stream, and whether the connection ends with it.
func ours(stream []byte, piece int) (messages []string, ends bool) {
	h := &collector{}
	b := newBare(Options{MessageBytes: 1 << 20}, nil)
	b.c.handler = h
	for len(stream) > 0 {
		b.input(stream[:min(piece, len(stream))])
		stream = stream[min(piece, len(stream)):]
	}
	if b.due != nil {
		b.due.Stop()
	}
	return h.got, b.c.closing.Load() != nil
}

// gorillas are the same by another reader of frames.
func gorillas(t *testing.T, stream []byte) (messages []string, ends bool) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
		r.Header.Set(name, value)
	}
	ws, err := new(websocket.Upgrader).Upgrade(&replay{r: bytes.NewReader(stream)}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(2 << 20)
	for {
		kind, msg, err := ws.ReadMessage()
		if err != nil {
			closed, told := errors.AsType[*websocket.CloseError](err)
			return messages, told && closed.Code != websocket.CloseAbnormalClosure || !told && strings.HasPrefix(err.Error(), "websocket:")
		}
		messages = append(messages, fmt.Sprintf("%v %s", kind == websocket.BinaryMessage, msg))
	}
}

// replay is a connection on which a stream comes, and everything written is lost.
type replay struct {
	http.ResponseWriter
	net.Conn
	r io.Reader
}

func (r *replay) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return r, bufio.NewReadWriter(bufio.NewReader(r), bufio.NewWriter(r)), nil
}

func (r *replay) Read(b []byte) (int, error)     { return r.r.Read(b) }
func (*replay) Write(b []byte) (int, error)      { return len(b), nil }
func (*replay) Close() error                     { return nil }
func (*replay) SetDeadline(time.Time) error      { return nil }
func (*replay) SetWriteDeadline(time.Time) error { return nil }
