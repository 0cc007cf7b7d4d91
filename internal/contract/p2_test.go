package contract

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/store/local"
)

// TestP2OneOrder has many publish to the same few channels at once: all readers, the acknowledgements and the history agree on one order, in
// which each publisher's messages are in its own.
func TestP2OneOrder(t *testing.T) {
	url, _ := serve(t)
	o := experiment(url, secret, 32)
	o.Channels, o.Subscribers = 2, 8
	judge := judgeWhile(t, o, func() {
		wait(3 * time.Second)
	})
	if judge.Acked < 1000 {
		t.Errorf("only %d messages were acknowledged", judge.Acked)
	}
}

// TestP2RetryKeepsOrder publishes without waiting for answers while the disk fails again and again, and while the store's queue is full most of the
// time: what was refused is published again, and the channel has everything once, in the order in which it was published.
func TestP2RetryKeepsOrder(t *testing.T) {
	for name, o := range map[string]local.Options{"failing disk": {}, "overload": {QueueBytes: 100 << 10}} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk()
			o.Dir, o.FS, o.MemtableBytes = "data", disk, 1<<20
			s := serveOn(t, "", o)
			t.Cleanup(func() {
				if err := s.stop(); err != nil {
					t.Error(err)
				}
			})
			f := follow(t, dial(t, s.url()), "c", client.SubscribeOptions{})
			failing := make(chan struct{})
			go func() {
				defer close(failing)
				for range 5 {
					wait(100 * time.Millisecond)
					disk.off.Store(o.QueueBytes == 0)
					wait(20 * time.Millisecond)
					disk.off.Store(false)
				}
			}()
			const messages = 400
			publisher := dialWindow(t, s.url(), 32) // what is refused is sent again, so a small one is quicker here
			for i := range messages {
				// Small ones find room where a large one before them did not.
				p := client.Publication{Channel: "c", ID: strconv.Itoa(i), Data: fmt.Appendf(nil, "%q", strings.Repeat("x", i*7919%20_000))}
				if err := publisher.PublishAsync(t.Context(), p, func(_ client.Ack, err error) {
					if err != nil {
						t.Error(err)
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
			for i := range messages {
				if m := next(t, "message", f.messages); m.ID != strconv.Itoa(i) {
					t.Fatalf("message %d is %s", i, m.ID)
				}
			}
			<-failing
			if n := len(f.messages) + len(f.resets); n > 0 {
				t.Errorf("%d messages or resets too many came", n)
			}
		})
	}
}
