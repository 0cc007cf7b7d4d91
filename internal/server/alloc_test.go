package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
)

// TestDeliveryAllocatesNothing: a message costs memory for being published, and none for each of those it is delivered to, from the tail of the channel to the socket.
func TestDeliveryAllocatesNothing(t *testing.T) {
	s := start(t, func(c *config.Config) { shop(c) })
	few, many := allocations(t, s, "few", 20), allocations(t, s, "many", 120) // some of them on each loop, which makes its own run of messages
	if each := (many - few) / 100; each > 0.02 {                              // a collection in between may empty a pool
		t.Errorf("a publish allocates %v times for 20 subscribers and %v times for 120: %v for each delivery", few, many, each)
	}
}

// allocations is how often a publish to so many WebSocket subscribers allocates memory.
func allocations(t *testing.T, s *Server, channel string, subscribers int) float64 {
	t.Helper()
	conns := make([]net.Conn, subscribers)
	for i := range conns {
		conns[i] = follow(t, s, channel)
	}
	grant := &hub.Grant{App: "shop", Server: true, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}
	pubs := []hub.Publication{{Channels: []string{channel}, Data: []byte(`"news"`)}}
	buf, end := make([]byte, 4096), []byte(`}`)
	return testing.AllocsPerRun(200, func() {
		if _, err := s.hub.PublishWait(t.Context(), grant, pubs); err != nil {
			t.Fatal(err)
		}
		for _, nc := range conns {
			for n := 0; ; {
				m, err := nc.Read(buf[n:])
				if err != nil {
					t.Fatal(err)
				}
				if n += m; bytes.HasSuffix(buf[:n], end) {
					break
				}
			}
		}
	})
}

// follow is a WebSocket client without any code that could allocate.
func follow(t *testing.T, s *Server, channel string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.public[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	fmt.Fprint(nc, "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	r := bufio.NewReader(nc)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	for _, frame := range []string{`{"type":"connect","key":"shop-1:` + testSecret + `"}`, `{"type":"subscribe","ref":1,"channel":"` + channel + `"}`} {
		if _, err := nc.Write(append([]byte{0x81, 0x80 | 126, byte(len(frame) >> 8), byte(len(frame)), 0, 0, 0, 0}, frame...)); err != nil {
			t.Fatal(err)
		}
		var head [4]byte
		if _, err := io.ReadFull(r, head[:2]); err != nil {
			t.Fatal(err)
		}
		n := int(head[1])
		if n == 126 {
			if _, err := io.ReadFull(r, head[2:]); err != nil {
				t.Fatal(err)
			}
			n = int(head[2])<<8 | int(head[3])
		}
		if _, err := r.Discard(n); err != nil {
			t.Fatal(err)
		}
	}
	return nc
}
