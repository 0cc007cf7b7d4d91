package contract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
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

// A client that connects again goes on as the same session by whatever transport, and nobody sees its member leave.
func TestSessionAndMembersGoOn(t *testing.T) {
	url, _ := serve(t)
	for _, by := range client.Transports() {
		t.Run(string(by), func(t *testing.T) {
			channel := "members:" + string(by)
			connected := make(chan struct{}, 10)
			o := client.Options{URL: url, Key: "dev", Secret: secret, Transport: by, OnState: func(s client.State, _ error) {
				if s == client.StateConnected {
					connected <- struct{}{}
				}
			}}
			c := dialUntilClosed(t, o)
			next(t, "connection", connected)
			watcher, changes := dial(t, url), make(chan string, 100)
			_, err := watcher.Subscribe(t.Context(), channel, client.SubscribeOptions{Presence: true}, func(e client.Event) {
				if p, ok := e.(*client.Presence); ok && p.Action != "snapshot" {
					changes <- p.Action + " " + p.Member.ID
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Enter(t.Context(), channel, "ann", nil); err != nil {
				t.Fatal(err)
			}
			session := c.Session()
			for range 3 {
				c.Drop()
				next(t, "connection", connected)
				if err := c.Ping(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if c.Session() != session {
				t.Errorf("the session was %s and is %s", session, c.Session())
			}
			if err := c.Leave(t.Context(), channel, "ann"); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"enter ann", "leave ann"} {
				got := next(t, "change", changes)
				for got == "update ann" { // entering again with the same data
					got = next(t, "change", changes)
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// A token that allows less than the one before ends what it does not allow, on polls as on every connection, and the rest goes on.
func TestLessGrantAfterReconnect(t *testing.T) {
	url, _ := serve(t)
	for _, by := range client.Transports() {
		t.Run(string(by), func(t *testing.T) {
			less := make(chan struct{})
			token := func(context.Context) (string, error) {
				allow := []hub.Allow{{Pattern: "kept", Actions: hub.ActionSubscribe | hub.ActionPublish}}
				select {
				case <-less:
				default:
					allow = append(allow, hub.Allow{Pattern: "lost", Actions: hub.ActionSubscribe | hub.ActionPresence})
				}
				return auth.Mint("dev", secret, auth.Claims{Client: "ann", Allow: allow, Expires: time.Now().Add(time.Hour)})
			}
			c := dialUntilClosed(t, client.Options{URL: url, Token: token, Transport: by})
			ended, kept := make(chan error, 1), make(chan string, 10)
			subscribe := func(channel string, handle func(client.Event)) {
				if _, err := c.Subscribe(t.Context(), channel, client.SubscribeOptions{}, handle); err != nil {
					t.Fatal(err)
				}
			}
			subscribe("lost", func(e client.Event) {
				if e, ok := e.(*client.Ended); ok {
					ended <- e.Err
				}
			})
			subscribe("kept", func(e client.Event) {
				if m, ok := e.(*client.Message); ok {
					kept <- m.ID
				}
			})
			if err := c.Enter(t.Context(), "lost", "", nil); err != nil {
				t.Fatal(err)
			}
			close(less)
			c.Drop()
			if e, ok := errors.AsType[*hub.Error](next(t, "end", ended)); !ok || e.Code != hub.CodeForbidden {
				t.Errorf("the subscription ended with %v, want forbidden", e)
			}
			id := "after " + string(by)
			if _, err := c.Publish(t.Context(), client.Publication{Channel: "kept", ID: id}); err != nil {
				t.Fatal(err)
			}
			if got := next(t, "message", kept); got != id {
				t.Errorf("got %q, want %q", got, id)
			}
		})
	}
}
