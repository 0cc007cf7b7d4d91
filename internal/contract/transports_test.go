package contract

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/snoserver/sno/internal/client"
)

// cutter is a TCP proxy whose connections can be cut, with what is on its way.
type cutter struct {
	net.Listener
	to    string
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newCutter(t *testing.T, url string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, to: strings.TrimPrefix(url, "http://")}
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		c.wg.Wait()
	})
	return c
}

func (c *cutter) accept() {
	for {
		from, err := c.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", c.to)
		if err != nil {
			_ = from.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, from, to)
		c.mu.Unlock()
		for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
			c.wg.Go(func() {
				_, _ = io.Copy(pair[0], pair[1]) // ends when either side does
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// Publisher and reader lose their connections again and again, on each transport: everything is stored once, in order, and read once, in order.
func TestEveryTransportIsExactlyOnce(t *testing.T) {
	url, _ := serve(t)
	for _, by := range client.Transports() {
		t.Run(string(by), func(t *testing.T) {
			const n = 300
			line := newCutter(t, url)
			o := client.Options{URL: "http://" + line.Addr().String(), Key: "dev", Secret: secret, Transport: by, Window: 8, Wait: true}
			reader, publisher := dialUntilClosed(t, o), dialUntilClosed(t, o)
			got := make(chan string, 2*n)
			_, err := reader.Subscribe(t.Context(), "exact:"+string(by), client.SubscribeOptions{}, func(e client.Event) {
				switch e := e.(type) {
				case *client.Message:
					got <- e.ID
				case *client.Fault:
					t.Error(e.Text)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for i := range n {
					p := client.Publication{Channel: "exact:" + string(by), ID: fmt.Sprint("m", i)}
					if err := publisher.PublishAsync(t.Context(), p, func(_ client.Ack, err error) {
						if err != nil {
							t.Error(err)
						}
					}); err != nil {
						t.Error(err)
					}
				}
			}()
			for i := range n {
				if id := next(t, "message", got); id != fmt.Sprint("m", i) {
					t.Fatalf("message %d is %s", i, id)
				}
				if i%75 == 74 && i < n-1 { // not more often: who is cut off again and again waits longer and longer
					line.cut()
				}
			}
			page, err := reader.History(t.Context(), "exact:"+string(by), client.Query{Limit: 1000})
			if err != nil || len(page.Messages) != n {
				t.Fatalf("%d messages are stored (%v), want %d", len(page.Messages), err, n)
			}
		})
	}
}
