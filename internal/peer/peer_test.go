package peer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func networks(t *testing.T, all ...string) Networks {
	t.Helper()
	n, err := ParseNetworks(all)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestParseNetworks(t *testing.T) {
	n := networks(t, "10.0.0.0/8", "192.0.2.7", "fd00::1/8")
	for address, in := range map[string]bool{"10.255.0.1": true, "11.0.0.1": false, "192.0.2.7": true, "192.0.2.8": false, "fd12::1": true, "fe80::1": false} {
		if n.Contain(netip.MustParseAddr(address)) != in {
			t.Errorf("%s: want %v", address, in)
		}
	}
	for _, s := range []string{"", "10.0.0.0/33", "example.com", "10.0.0", "fe80::1%eth0"} {
		if n, err := ParseNetworks([]string{s}); err == nil {
			t.Errorf("%q is taken as %v", s, n)
		}
	}
}

// header2 makes a header of version 2.
func header2(command, family byte, body []byte) string {
	head := append([]byte(signature2), command, family, 0, 0)
	binary.BigEndian.PutUint16(head[14:], uint16(len(body)))
	return string(append(head, body...))
}

var body4 = []byte{192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb}

func TestReadHeader(t *testing.T) {
	body6 := append(append(netip.MustParseAddr("2001:db8::7").AsSlice(), make([]byte, 16)...), 0, 80, 1, 187)
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n":   "192.0.2.7:12345",
		"PROXY TCP6 2001:db8::7 2001:db8::1 80 443\r\n": "[2001:db8::7]:80",
		"PROXY TCP6 ::ffff:192.0.2.7 ::1 80 443\r\n":    "192.0.2.7:80",
		"PROXY UNKNOWN\r\n":                             "none",
		"PROXY UNKNOWN whatever it says\r\n":            "none",
		"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n":       "",
		"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443 1\r\n": "",
		"PROXY TCP4 192.0.2.7 10.0.0.1 012345 443\r\n":  "",
		"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n":   "",
		"PROXY TCP4 192.0.2.007 10.0.0.1 1 443\r\n":     "",
		"PROXY TCP4 2001:db8::7 2001:db8::1 1 443\r\n":  "",
		"PROXY TCP6 fe80::1%eth0 ::1 1 443\r\n":         "",
		"PROXY  TCP4 192.0.2.7 10.0.0.1 1 443\r\n":      "",
		"PROXY UDP4 192.0.2.7 10.0.0.1 1 443\r\n":       "",
		"PROXY \r\n":                            "",
		"PROXY TCP4 192.0.2.7 10.0.0.1 1 443\n": "",
		"PROXY UNKNOWN " + strings.Repeat("x", maxLine1) + "\r\n": "",
		"GET / HTTP/1.1\r\n":         "",
		"":                           "",
		header2(proxy2, tcp4, body4): "192.0.2.7:12345",
		header2(proxy2, tcp6, body6): "[2001:db8::7]:80",
		header2(proxy2, tcp4, append(body4[:12:12], 4, 0, 1, 'x')): "192.0.2.7:12345",
		header2(local2, 0, nil):                                       "none",
		header2(local2, tcp4, body4):                                  "none",
		header2(proxy2, 0, []byte("anything")):                        "none",
		header2(proxy2, 0x12, body4):                                  "", // UDP
		header2(proxy2, tcp4, body4[:11]):                             "",
		header2(proxy2, tcp6, body4):                                  "",
		header2(0x11, tcp4, body4):                                    "",
		header2(0x22, tcp4, body4):                                    "",
		header2(proxy2, tcp4, make([]byte, maxBody2+1)):               "",
		header2(proxy2, tcp4, body4)[:20]:                             "",
		strings.Replace(signature2, "Q", "q", 1) + "\x21\x11\x00\x00": "",
	} {
		r := bufio.NewReader(strings.NewReader(header + "GET"))
		if want == "" {
			r = bufio.NewReader(strings.NewReader(header)) // so that a short one ends
		}
		got, err := readHeader(r)
		rest, _ := io.ReadAll(r)
		switch {
		case want == "":
			if err == nil {
				t.Errorf("%q is taken as %v", header, got)
			}
		case err != nil || want == "none" && got.IsValid() || want != "none" && got.String() != want || string(rest) != "GET":
			t.Errorf("%q: %v, %v, and %q is left", header, got, err, rest)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\nGET"))
	f.Add([]byte(header2(proxy2, tcp4, body4)))
	f.Fuzz(func(t *testing.T, b []byte) {
		source := bytes.NewReader(b)
		r := bufio.NewReaderSize(source, 512)
		at, err := readHeader(r)
		if err == nil && at.IsValid() && at.Addr().Zone() != "" {
			t.Errorf("a zone of another machine: %v", at)
		}
		if read := len(b) - source.Len() - r.Buffered(); read > maxBody2+16 {
			t.Errorf("%d bytes were read", read)
		}
	})
}

func TestOf(t *testing.T) {
	trusted := networks(t, "10.0.0.0/8")
	for _, test := range []struct {
		what, remote string
		h            Header
		headers      []string
		want         Client
	}{
		{"no proxy", "192.0.2.1:5", XForwarded, nil, Client{netip.MustParseAddr("192.0.2.1"), "http", "a.example"}},
		{"a stranger's headers", "192.0.2.1:5", XForwarded, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"}, Client{netip.MustParseAddr("192.0.2.1"), "http", "a.example"}},
		{"a stranger's Forwarded", "192.0.2.1:5", Forwarded, []string{"Forwarded: for=198.51.100.1;host=evil.example"}, Client{netip.MustParseAddr("192.0.2.1"), "http", "a.example"}},
		{"one proxy", "10.0.0.1:5", XForwarded, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: b.example"}, Client{netip.MustParseAddr("198.51.100.1"), "https", "b.example"}},
		{"what the client says before", "10.0.0.1:5", XForwarded, []string{"X-Forwarded-For: 127.0.0.1, 198.51.100.1"}, Client{netip.MustParseAddr("198.51.100.1"), "http", "a.example"}},
		{"two proxies", "10.0.0.1:5", XForwarded, []string{"X-Forwarded-For: 127.0.0.1, 198.51.100.1", "X-Forwarded-For: 10.0.0.2"}, Client{netip.MustParseAddr("198.51.100.1"), "http", "a.example"}},
		{"proxies only", "10.0.0.1:5", XForwarded, []string{"X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, Client{netip.MustParseAddr("10.0.0.3"), "http", "a.example"}},
		{"nonsense in between", "10.0.0.1:5", XForwarded, []string{"X-Forwarded-For: 198.51.100.1, x, 10.0.0.2"}, Client{netip.MustParseAddr("10.0.0.2"), "http", "a.example"}},
		{"with ports", "10.0.0.1:5", XForwarded, []string{"X-Forwarded-For: [2001:db8::7]:80"}, Client{netip.MustParseAddr("2001:db8::7"), "http", "a.example"}},
		{"the other header", "10.0.0.1:5", XForwarded, []string{"Forwarded: for=127.0.0.1"}, Client{netip.MustParseAddr("10.0.0.1"), "http", "a.example"}},
		{"the other header, too", "10.0.0.1:5", Forwarded, []string{"X-Forwarded-For: 127.0.0.1"}, Client{netip.MustParseAddr("10.0.0.1"), "http", "a.example"}},
		{"Forwarded", "10.0.0.1:5", Forwarded, []string{`Forwarded: for=127.0.0.1, For="[2001:db8::7]:80";proto=HTTPS;host="b.example:8443"`, `Forwarded: for=10.0.0.2`}, Client{netip.MustParseAddr("2001:db8::7"), "https", "b.example:8443"}},
		{"Forwarded, hidden", "10.0.0.1:5", Forwarded, []string{`Forwarded: for=_hidden`}, Client{netip.MustParseAddr("10.0.0.1"), "http", "a.example"}},
		{"Forwarded, malformed", "10.0.0.1:5", Forwarded, []string{`Forwarded: for=198.51.100.1, for="10.0.0.2;host=x`}, Client{netip.MustParseAddr("10.0.0.1"), "http", "a.example"}},
		{"another scheme", "10.0.0.1:5", XForwarded, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: gopher"}, Client{netip.MustParseAddr("198.51.100.1"), "http", "a.example"}},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://a.example/", nil)
		r.RemoteAddr = test.remote
		for _, h := range test.headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Add(name, value)
		}
		if got := trusted.Of(r, test.h); got != test.want {
			t.Errorf("%s: got %v, want %v", test.what, got, test.want)
		}
		if got := Networks(nil).Of(r, test.h); got.Address != netip.MustParseAddrPort(test.remote).Addr() || got.Host != "a.example" {
			t.Errorf("%s, nobody trusted: %v", test.what, got)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add(`for="[2001:db8::7]:80";proto=https;host="a\"b", for=10.0.0.1`)
	f.Add(`for=10.0.0.1, 192.0.2.7:80`)
	trusted := Networks{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest(http.MethodGet, "http://a.example/", nil)
		r.RemoteAddr = "10.0.0.1:80"
		r.Header["Forwarded"], r.Header["X-Forwarded-For"] = []string{s + ",for=198.51.100.1"}, []string{s + ",198.51.100.1"}
		// Whatever a client says, it does not change what its proxy says of it.
		if got := trusted.Of(r, XForwarded); got.Address != netip.MustParseAddr("198.51.100.1") {
			t.Errorf("%q: %v", s, got)
		}
		if got := trusted.Of(r, Forwarded); strings.Count(s, `"`) == 0 && got.Address != netip.MustParseAddr("198.51.100.1") {
			t.Errorf("%q: %v", s, got)
		}
	})
}

// TestListener: who is trusted has its header believed; others are turned away, and those who are there do not notice.
func TestListener(t *testing.T) {
	var log bytes.Buffer
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var trusts atomic.Bool
	trusts.Store(true)
	p := &Listener{Listener: l, Trusted: func(netip.Addr) bool { return trusts.Load() }, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	defer p.Close()
	dial := func(say string) net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, say); err != nil {
			t.Fatal(err)
		}
		return c
	}
	accept := func() net.Conn {
		c, err := p.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\nhello")
	c := accept()
	hello := make([]byte, 5)
	if _, err := io.ReadFull(c, hello); err != nil || string(hello) != "hello" || c.RemoteAddr().String() != "192.0.2.7:12345" {
		t.Errorf("%q from %v, %v", hello, c.RemoteAddr(), err)
	}
	dial("GET / HTTP/1.1\r\n\r\n")
	if n, err := accept().Read(hello); err == nil || !strings.Contains(log.String(), "does not begin with a PROXY") {
		t.Errorf("without a header: %d bytes, %v; the log has %s", n, err, log.String())
	}
	trusts.Store(false)
	stranger := dial("")
	accepted := make(chan net.Conn, 1)
	go func() { accepted <- accept() }()
	stranger.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := stranger.Read(hello); err == nil || !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a stranger's connection: %v", err)
	}
	trusts.Store(true)
	dial("PROXY UNKNOWN\r\n")
	if c := <-accepted; c == nil || !strings.HasPrefix(c.RemoteAddr().String(), "127.0.0.1:") || !strings.Contains(log.String(), "not one of trusted_proxies") {
		t.Errorf("after a stranger: %v; the log has %s", c.RemoteAddr(), log.String())
	}
}
