package outbox

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

func TestPublic(t *testing.T) {
	for _, s := range []string{"1.1.1.1", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::1.1.1.1"} {
		if !public(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
	for _, s := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1",
		"198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
		"::", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
		"64:ff9b:1::1", "100::1", "fec0::1", "3fff::1", "5f00::1",
	} {
		if public(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
}

// In IPv6's clothes an IPv4 address is what it is, and a zone changes nothing.
func TestGuard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")))
		g := &guard{}
		plain := g.control("tcp4", netip.AddrPortFrom(a, 443).String(), nil)
		mapped := g.control("tcp6", netip.AddrPortFrom(netip.AddrFrom16(a.As16()), 443).String(), nil)
		if (plain == nil) != (mapped == nil) || (plain == nil) != public(a) {
			t.Fatalf("%s: %v, mapped %v", a, plain, mapped)
		}
	})
	allowed := &guard{allow: prefixes("fe80::/10", "10.0.0.0/8"), plain: true}
	for address, ok := range map[string]bool{"[fe80::1%eth0]:80": true, "10.1.1.1:80": true, "[::ffff:10.1.1.1]:80": true, "1.1.1.1:80": false, "127.0.0.1:80": false, "": false, "host:80": false} {
		if err := allowed.control("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// nameServer answers each question for an A record with the next of its addresses, and the last for ever.
type nameServer struct {
	mu      sync.Mutex
	answers []string
	asked   int
}

func (n *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	if q.Question[0].Qtype == dns.TypeA {
		n.mu.Lock()
		a := n.answers[min(n.asked, len(n.answers)-1)]
		n.asked++
		n.mu.Unlock()
		m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(a)})
	}
	_ = w.WriteMsg(m)
}

// resolver is one that asks a server of the test.
func resolver(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: pc, Handler: &nameServer{answers: answers}}
	started, done := make(chan struct{}), make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() {
		defer close(done)
		_ = server.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// Nothing that an endpoint's URL can say makes a request go where none may go.
func TestNoRequestGoesInside(t *testing.T) {
	var asked atomic.Int32
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	rebinding := resolver(t, "93.184.216.34", "127.0.0.1")
	if all, err := rebinding.LookupHost(t.Context(), "rebinding.example"); err != nil || all[0] != "93.184.216.34" {
		t.Fatalf("%v, %v", all, err) // as somebody sees it who checks beforehand
	}
	for _, test := range []struct {
		host     string
		resolver *net.Resolver
	}{
		{"127.0.0.1", nil}, {"localhost", nil}, {"[::1]", nil}, {"[::ffff:127.0.0.1]", nil}, {"[::ffff:7f00:1]", nil}, {"0.0.0.0", nil}, {"169.254.169.254", nil}, {"10.0.0.1", nil},
		{"inside.example", resolver(t, "127.0.0.1")}, {"inside.example", resolver(t, "169.254.169.254")}, {"rebinding.example", rebinding},
	} {
		e := Endpoint{URL: "https://" + test.host + ":" + port + "/", Secrets: [][]byte{{1}}}
		s := newSender("a", &e, test.resolver)
		why := s.send(t.Context(), happened()[:1])
		s.close()
		if why == nil || !strings.Contains(why.text, "is not a public address") && !strings.Contains(why.text, "no such host") {
			t.Errorf("%s: %+v", test.host, why)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests went inside", n)
	}
}

// A redirect is a failure that says so, and is not followed: not even to where requests may go.
func TestRedirect(t *testing.T) {
	var followed atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed.Store(true)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	e := Endpoint{URL: server.URL, Allow: loopback, Secrets: [][]byte{{1}}}
	s := newSender("a", &e, nil)
	defer s.close()
	if why := s.send(t.Context(), happened()[:1]); why == nil || !strings.Contains(why.text, "redirects are not followed") || followed.Load() {
		t.Errorf("%+v, followed: %t", why, followed.Load())
	}
}

// Plain HTTP goes to the allowed networks only, so that a name cannot take it out of them.
func TestPlainStaysInside(t *testing.T) {
	e := Endpoint{URL: "http://outside.example/", Allow: loopback, Secrets: [][]byte{{1}}}
	s := newSender("a", &e, resolver(t, "93.184.216.34"))
	defer s.close()
	if why := s.send(t.Context(), happened()[:1]); why == nil || !strings.Contains(why.text, "http goes nowhere else") {
		t.Errorf("%+v", why)
	}
}

func TestCheckURL(t *testing.T) {
	for s, ok := range map[string]bool{
		"https://a.example/x?y=1": true, "http://a.example": false, "": false, "a.example": false, "ftp://a.example": false, "https://u:p@a.example": false, "https://": false, "https://:443": false, "https://a.example/#x": false,
	} {
		if err := CheckURL(s, false); (err == nil) != ok || err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v", s, err)
		}
	}
	if err := CheckURL("http://10.0.0.1/", true); err != nil {
		t.Error(err)
	}
}
