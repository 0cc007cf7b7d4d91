package contract

import (
	"testing"
	"time"
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
