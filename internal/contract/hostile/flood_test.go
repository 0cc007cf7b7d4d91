package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// open sends bytes on a connection of its own, and leaves it.
func (x *target) open(t *testing.T, request string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", x.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatal(err)
	}
	return nc
}

func postRequest(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// deafReaders follow a channel by every transport while 32 MB are published there, and read nothing.
func deafReaders(t *testing.T, x *target) {
	const each, behind = 10, 2000
	var all []io.Closer
	for range each {
		ws := x.connect(t)
		send(t, ws, `{"type":"subscribe","channel":"loud"}`)
		all = append(all, ws,
			x.open(t, postRequest("/v1/stream", `{"type":"connect"}{"type":"subscribe","channel":"loud"}`)),
			x.open(t, "GET /v1/sse?channel=loud HTTP/1.1\r\nHost: localhost\r\n\r\n"),
			x.open(t, "GET /v1/poll?channel=loud HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}
	eventually(t, "they follow", func() bool { return x.sessions(t) >= 3*each })
	before := live()
	publisher := x.connect(t)
	frame := `{"type":"publish","channel":"loud","ref":1,"data":"` + strings.Repeat("x", 16<<10) + `"}`
	for range behind / 100 {
		for range 100 {
			send(t, publisher, frame)
		}
		for answered := 0; answered < 100; {
			_, msg, err := publisher.ReadMessage()
			if err != nil || bytes.Contains(msg, []byte(`"error"`)) {
				t.Fatalf("%v: %.200s", err, msg)
			}
			answered += bytes.Count(msg, []byte(`"published"`))
		}
	}
	publisher.Close()
	// 40 readers that are up to 32 MB behind would be 1.3 GB: what is held is the store's, up to its tables in memory, and the tail's.
	eventually(t, "memory is bounded", func() bool { return live() <= before+3*spare })
	x.calm.check(t)
	for _, c := range all {
		c.Close()
	}
}

// deafAsker sends more requests than may wait for their answers, each of which is large, and listens to none. It must be forgotten as soon as it goes.
func deafAsker(t *testing.T, x *target) {
	fill := x.connect(t)
	for range 20 {
		send(t, fill, `{"type":"publish","channel":"long","ref":1,"data":"`+strings.Repeat("x", 100<<10)+`"}`)
		next(t, fill)
	}
	fill.Close()
	before := live()
	const asks = 600
	request := `{"type":"history","channel":"long","ref":1,"limit":1000}`
	var all []io.Closer
	for range 5 {
		ws := x.connect(t)
		for range asks {
			send(t, ws, request)
		}
		s := x.openStream(t)
		go func() {
			_, _ = http.Post(x.url+"/v1/send", "text/plain", strings.NewReader(s.frame(strings.Repeat(request, asks))))
		}()
		all = append(all, ws, s.body, x.open(t, postRequest("/v1/poll", `{"type":"connect"}`+strings.Repeat(request, asks))))
	}
	for range 20 { // for a second
		<-time.After(50 * time.Millisecond)
		if grown := live() - before; grown > 5*3*8<<20+spare {
			t.Fatalf("%d bytes are held for answers that nobody takes", grown)
		}
	}
	x.calm.check(t)
	for _, c := range all {
		c.Close()
	}
}

// deafSender sends frames until nothing more can be written: who does not read is not read from.
func deafSender(t *testing.T, x *target) {
	ws := x.connect(t)
	before, stalled := live(), false
	var many bytes.Buffer
	many.WriteByte('[')
	for range 10_000 {
		many.WriteString(`{"type":"ping","ref":"` + strings.Repeat("r", 60) + `"},`)
	}
	many.WriteString(`{"type":"ping"}]`)
	for range 200 {
		_ = ws.SetWriteDeadline(time.Now().Add(2 * time.Second))
		if err := ws.WriteMessage(websocket.TextMessage, many.Bytes()); err != nil {
			stalled = true
			break
		}
	}
	if !stalled {
		t.Error("two million requests were read whose answers nobody takes")
	}
	if grown := live() - before; grown > 16<<20 {
		t.Errorf("%d bytes are held", grown)
	}
	ws.Close()
}

func manySubscriptions(t *testing.T, x *target) {
	const limit, more = 10_000, 100
	ws := x.connect(t)
	sent := make(chan error, 1)
	go func() {
		for i := range limit + more {
			if err := ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"subscribe","channel":"many:%d"}`, i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","ref":"end"}`))
	}()
	refusals := 0
	for end := false; !end; {
		_, msg, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		refusals += bytes.Count(msg, []byte(`"code":4308`))
		end = bytes.Contains(msg, []byte(`"pong"`))
	}
	if err := <-sent; err != nil || refusals != more {
		t.Errorf("%v; %d subscriptions were refused, want %d", err, refusals, more)
	}
	ws.Close()
}

// churn opens connections and drops them at every stage of their lives.
func churn(t *testing.T, x *target) {
	const upgrade = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	connect := string(append([]byte{0x81, 0x80 | 18, 0, 0, 0, 0}, `{"type":"connect"}`...))
	stages := []string{"", "GE", upgrade[:60], upgrade, upgrade + connect[:4], upgrade + connect, upgrade + connect + connect,
		postRequest("/v1/stream", `{"type":"connect"}`), postRequest("/v1/poll", `{"type":"connect"}{"type":"subscribe","channel":"churn"}`), "GET /v1/sse?channel=churn HTTP/1.1\r\nHost: localhost\r\n\r\n"}
	const workers, each = 20, 500
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range each {
				nc, err := net.Dial("tcp", x.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.WriteString(nc, stages[(w+i)%len(stages)])
				if i%2 == 0 {
					_ = nc.(*net.TCPConn).SetLinger(0) // a reset instead of an end
				}
				nc.Close()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// slowRequests begin and do not end: headers, bodies, WebSocket messages. Those that stay are given up in time; here it counts that nobody else notices, and
// that a request which has not begun is given up first.
func slowRequests(t *testing.T, x *target) {
	const each = 100
	var headers, others []net.Conn
	for range each {
		headers = append(headers, x.open(t, "GET /v1/ws HTTP/1.1\r\nHost: local"))
		for _, path := range []string{"/v1/stream", "/v1/sse", "/v1/poll", "/v1/send", "/v1/channels/x/messages"} {
			others = append(others, x.open(t, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{\"type\":"))
		}
		others = append(others, x.open(t, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}
	x.calm.check(t)
	for _, nc := range headers {
		_ = nc.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(nc); err != nil {
			t.Fatalf("a header that does not end is waited for: %v", err)
		}
	}
	for _, nc := range others {
		nc.Close()
	}
}

// rapidReset opens streams of HTTP/2 and resets each at once (CVE-2023-44487).
func rapidReset(t *testing.T, x *target) {
	nc := x.open(t, http2.ClientPreface)
	defer nc.Close()
	framer := http2.NewFramer(nc, bufio.NewReader(nc))
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			if _, err := framer.ReadFrame(); err != nil {
				return
			}
		}
	}()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := range uint32(20_000) {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", "/v1/sse?channel=reset"}} {
			if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				t.Fatal(err)
			}
		}
		id := 2*i + 1
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) != nil || framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break // the server may have had enough
		}
	}
	x.calm.check(t)
	nc.Close()
	<-read
}
