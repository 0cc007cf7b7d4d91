package websocket

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
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
	var wire counted
	d := websocket.Dialer{EnableCompression: true, NetDial: func(network, addr string) (net.Conn, error) {
		nc, err := net.Dial(network, addr)
		wire.Conn = nc
		return &wire, err
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
		before, msg := wire.n, strings.Repeat("x", test.size)
		if err := ws.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		expect(t, ws, msg)
		if took := wire.n - before; took < test.size != test.compressed {
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
		"unknown opcode":              {[][]byte{frame(final|5, nil)}, 1002, "bad opcode"},
		"long ping":                   {[][]byte{frame(final|ping, make([]byte, 126))}, 1002, "len > 125"},
		"ping in fragments":           {[][]byte{frame(ping, nil)}, 1002, "FIN not set"},
		"continuation of nothing":     {[][]byte{frame(final|continuation, nil)}, 1002, "continuation after FIN"},
		"message within a message":    {[][]byte{frame(text, nil), frame(final|text, nil)}, 1002, "data before FIN"},
		"no mask":                     {[][]byte{{final | text, 1, 'x'}}, 1002, "bad MASK"},
		"reserved bits":               {[][]byte{frame(final|0x30|text, nil)}, 1002, "RSV"},
		"claims 2^62 bytes":           {[][]byte{{final | text, 0x80 | 127, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 2*limit+1)}, 4004, "far too large"},
		"close with a code of nobody": {[][]byte{frame(final|websocket.CloseMessage, []byte{0, 1})}, 1002, "bad close code"},
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

// TestSlowMessages are read in the time of a bubble, through a pipe.
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
				here, there := net.Pipe()
				var writer sync.WaitGroup
				writer.Go(func() {
					for b := test.bytes; len(b) > 0; b = b[min(test.piece, len(b)):] {
						time.Sleep(test.every)
						if _, err := there.Write(b[:min(test.piece, len(b))]); err != nil {
							return
						}
					}
					if test.ends == 0 {
						there.Close()
					}
				})
				in := &incoming{Conn: here, o: &Options{TimeoutCode: 4101}}
				start := time.Now()
				_, err := io.Copy(io.Discard, in)
				took := time.Since(start)
				here.Close()
				writer.Wait()
				refused, is := errors.AsType[*refusal](err)
				if is != (test.ends > 0) || is && refused.code != 4101 {
					t.Errorf("after %v: %v", took, err)
				}
				if is && (took < test.ends-2*time.Second || took > test.ends+5*time.Second) {
					t.Errorf("it took %v, want about %v", took, test.ends)
				}
			})
		})
	}
}

// TestWaitingForTheHandlerIsNotHeldAgainstThePeer is about a peer that sends faster than it is read: its message may lie in the sockets for long.
func TestWaitingForTheHandlerIsNotHeldAgainstThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		go func() {
			_, _ = there.Write(frame(final|websocket.TextMessage, make([]byte, 1000)))
			there.Close()
		}()
		in := &incoming{Conn: here, o: &Options{}}
		var b [100]byte
		for n := 0; n < 1008; {
			time.Sleep(time.Minute)
			read, err := in.Read(b[:])
			if n += read; err != nil {
				t.Fatalf("after %d bytes: %v", n, err)
			}
		}
	})
}

// FuzzIncoming compares what look makes of a stream of frames with what gorilla/websocket does: however they are cut into reads, it takes the end of a message for one.
func FuzzIncoming(f *testing.F) {
	f.Add(frame(final|websocket.TextMessage, []byte("hello")), 1)
	f.Add(append(frame(websocket.TextMessage, []byte("he")), frame(final, []byte("llo"))...), 3)
	f.Add(append(frame(final|websocket.PingMessage, nil), frame(final|compressed|websocket.BinaryMessage, make([]byte, 300))...), 7)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		piece = min(max(piece, 1), 4096)
		whole, cut := &incoming{o: &Options{}, deflate: true}, &incoming{o: &Options{}, deflate: true}
		wholeErr := whole.look(stream)
		var cutErr error
		for b := stream; len(b) > 0 && cutErr == nil; b = b[min(piece, len(b)):] {
			cutErr = cut.look(b[:min(piece, len(b))])
		}
		if (wholeErr == nil) != (cutErr == nil) {
			t.Fatalf("whole: %v; in pieces of %d: %v", wholeErr, piece, cutErr)
		}
		if wholeErr == nil && (whole.within() != cut.within() || whole.frames != cut.frames || len(whole.deflated) != len(cut.deflated) || whole.payload != cut.payload) {
			t.Fatalf("whole: %+v; in pieces of %d: %+v", whole, piece, cut)
		}
	})
}
