//go:build linux

package crowd_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/snoserver/sno/bench/crowd"
	"github.com/snoserver/sno/bench/dialect"
)

// frame is a server's WebSocket frame.
func frame(op byte, payload string) string {
	head := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	return string(head) + payload
}

// packet is an MQTT packet.
func packet(kind byte, body string) string {
	return string(binary.AppendUvarint([]byte{kind}, uint64(len(body)))) + body
}

var payload = string(crowd.AppendPayload(nil, 200))

const (
	upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	ping    = "\x89\x04ping"
)

// conversation is what a server says to a subscriber that asks for one channel.
type conversation struct {
	protocol, url string
	settle        string // up to the subscription
	deliver       string
	deliveries    uint64
}

var conversations = []conversation{
	{"plain", "ws://127.0.0.1/ws", upgrade, frame(1, payload) + ping + frame(2, payload), 2},
	{"topics", "ws://127.0.0.1/topics", upgrade + frame(1, "+"), frame(1, payload), 1},
	{
		"sno", "ws://127.0.0.1/v1/ws",
		upgrade + frame(1, `{"type":"welcome","session":"s"}`) + frame(1, `[{"type":"ping"},{"type":"subscribed","ref":1}]`),
		frame(1, "["+strings.Repeat(`{"type":"message","data":`+payload+`},`, 400)+`{"type":"ping"}]`) + ping + frame(1, `{"type":"message","data":`+payload+`}`), 401,
	},
	{
		"centrifugo", "ws://127.0.0.1/connection/websocket",
		upgrade + frame(1, `{"id":1,"connect":{"client":"c"}}`) + frame(1, "{}") + frame(1, `{"id":2,"subscribe":{}}`),
		frame(1, `{"push":{"pub":{"data":`+payload+"}}}\n"+`{"push":{"pub":{"data":`+payload+"}}}") + frame(1, "{}"), 2,
	},
	{
		"socket.io", "ws://127.0.0.1/socket.io/",
		upgrade + frame(1, `0{"sid":"x"}`) + frame(1, `40{"sid":"y"}`) + frame(1, "2") + frame(1, "431[]"),
		frame(1, `42["msg",`+payload+`]`) + frame(1, "2"), 1,
	},
	{
		"sse", "ws://127.0.0.1/v1/sse?channel=bench", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"f0\r\nevent: message\ndata: " + payload + "\n\n\r\n5\r\n: hi\n\r\n" + payload, 2,
	},
	{"mqtt", "mqtt://127.0.0.1", packet(0x20, "\x00\x00") + packet(0x90, "\x00\x01\x00"), packet(0x30, "\x00\x05bench"+payload) + packet(0xd0, "") + packet(0x30, "\x00\x05bench"+payload), 2},
}

func crowdOf(t testing.TB, c conversation) *crowd.Crowd {
	t.Helper()
	d, _, _, err := dialect.New(c.protocol, c.url, dialect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k, err := crowd.New(crowd.Options{Address: "127.0.0.1:1", Dialect: d, Subscribers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// However a server's bytes are cut, each delivery is counted once.
func TestDialectsCountEachDeliveryOnce(t *testing.T) {
	for _, c := range conversations {
		for _, size := range []int{1, 2, 3, 7, 17, 18, 19, 250, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", c.protocol, size), func(t *testing.T) {
				k := crowdOf(t, c)
				hear := k.Hear(0)
				say(t, hear, c.settle, size)
				if !k.Conn(0).Settled() {
					t.Fatal("not subscribed")
				}
				for round := range uint64(2) {
					say(t, hear, c.deliver, size)
					if got := k.Conn(0).Got; got != (round+1)*c.deliveries {
						t.Fatalf("%d deliveries, not %d", got, (round+1)*c.deliveries)
					}
				}
			})
		}
	}
}

func say(t testing.TB, hear func([]byte) error, text string, size int) {
	t.Helper()
	for in := []byte(text); len(in) > 0; {
		n := min(size, len(in))
		if err := hear(in[:n]); err != nil {
			t.Fatal(err)
		}
		in = in[n:]
	}
}

func TestDialectsTellWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ protocol, url, said, want string }{
		{"plain", "ws://h/ws", "HTTP/1.1 404 Not Found\r\n\r\n", "404"},
		{"plain", "ws://h/ws", upgrade + frame(8, "\x0f\xa1bye"), `4001 "bye"`},
		{"sno", "ws://h/v1/ws", upgrade + frame(1, `{"type":"error","code":4001}`), "4001"},
		{"centrifugo", "ws://h/", upgrade + frame(1, `{"id":1,"error":{"code":109}}`), "109"},
		{"socket.io", "ws://h/", upgrade + frame(1, `44{"message":"no"}`), "no"},
		{"sse", "ws://h/v1/sse", "HTTP/1.1 401 Unauthorized\r\n\r\n", "401"},
		{"mqtt", "mqtt://h", packet(0x20, "\x00\x05"), "00 05"},
		{"mqtt", "mqtt://h", packet(0x20, "\x00\x00") + packet(0x90, "\x00\x01\x80"), "80"},
		{"mqtt", "mqtt://h", "\x30\xff\xff\xff\xff\x7f", "length"},
	} {
		hear := crowdOf(t, conversation{protocol: c.protocol, url: c.url}).Hear(0)
		if err := hear([]byte(c.said)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q: %v, not %s", c.protocol, c.said, err, c.want)
		}
	}
}

// A delivery costs the client nothing that a collector would have to take away: the client must not be what is measured.
func TestDeliveriesAllocateNothing(t *testing.T) {
	for _, c := range conversations {
		k := crowdOf(t, c)
		hear := k.Hear(0)
		say(t, hear, c.settle, 1<<20)
		in := []byte(strings.ReplaceAll(c.deliver, ping, ""))
		if n := testing.AllocsPerRun(100, func() {
			if err := hear(in); err != nil {
				t.Error(err)
			}
		}); n > 1 { // the kept bytes of the test's own
			t.Errorf("%s: %v allocations for %d deliveries", c.protocol, n, c.deliveries)
		}
	}
}

func FuzzDialects(f *testing.F) {
	for i, c := range conversations {
		f.Add(i, 5, []byte(c.settle+c.deliver[:min(len(c.deliver), 2000)]))
	}
	f.Fuzz(func(t *testing.T, which, size int, said []byte) {
		c := conversations[uint(which)%uint(len(conversations))]
		hear := crowdOf(t, c).Hear(0)
		for in := said[:min(len(said), 1<<12)]; len(in) > 0; { // an end of the handshake that never comes is looked for again and again
			n := min(max(1, size), len(in))
			if hear(in[:n]) != nil {
				return // refused, which is as good as any answer to nonsense
			}
			in = in[n:]
		}
	})
}
