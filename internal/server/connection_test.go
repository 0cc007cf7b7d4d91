package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/certificate/certificatetest"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/wire/liveness"
)

// TestRequestsKnowTheirSocket: by whatever listener a request comes, the kernel can be asked about its client. Without that a stream whose client has vanished would
// last until TCP gives up, a quarter of an hour or more, and its members would stay (P5).
func TestRequestsKnowTheirSocket(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			s := startAfter(t, func(c *config.Config) {
				shop(c)
				c.ListenProxy, c.TrustedProxies = config.Addresses{"127.0.0.1:0"}, []string{"127.0.0.1"}
				if secure {
					c.TLS.Cert, c.TLS.Key = certificatetest.Write(t, t.TempDir(), "localhost", time.Now().Add(time.Hour), time.Now())
				}
			}, func(s *Server) {
				// Behind the gate, which needs the connection, too.
				s.http.Handler = s.gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, socketOf(liveness.Conn(r.Context()))) }))
			})
			for i, first := range []string{"", "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n"} {
				nc, err := net.Dial("tcp", s.public[i].Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { nc.Close() })
				if _, err := nc.Write([]byte(first)); err != nil {
					t.Fatal(err)
				}
				local := nc.LocalAddr().String()
				if secure {
					nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) // nobody has signed it
				}
				if _, err := nc.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				res, err := http.ReadResponse(bufio.NewReader(nc), nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := text(t, res); got != local {
					t.Errorf("%q: the request came by the socket of %q, want %s", first, strings.TrimSpace(got), local)
				}
			}
		})
	}
}

// socketOf is who is at the other end of the TCP connection under nc.
func socketOf(nc net.Conn) string {
	for {
		switch c := nc.(type) {
		case *net.TCPConn:
			return c.RemoteAddr().String()
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return fmt.Sprintf("none: %T", nc)
		}
	}
}
