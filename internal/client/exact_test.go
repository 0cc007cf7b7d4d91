package client

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/client/clienttest"
)

// Whatever connections are lost, and when: every message is stored once and in order, and every subscriber gets exactly that.
func TestNothingIsLostDoubledOrReordered(t *testing.T) {
	onEach(t, testNothingIsLostDoubledOrReordered)
}

func testNothingIsLostDoubledOrReordered(t *testing.T, by Transport) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "messages")
		b := clienttest.NewBroker(t)
		b.CutEvery = rapid.IntRange(2, 50).Draw(t, "cut every")
		dropAt := rapid.IntRange(0, n).Draw(t, "reader drops at")
		reader, publisher := dial(t, Options{Transport: by, URL: b.URL}), dial(t, Options{Transport: by, URL: b.URL, Window: rapid.IntRange(1, 64).Draw(t, "window")})

		var got []string
		all := make(chan struct{})
		_, err := reader.Subscribe(testContext(t), "x", SubscribeOptions{}, func(e Event) {
			switch e := e.(type) {
			case *Message:
				if got = append(got, string(e.Data)); len(got) == n {
					close(all)
				}
				if len(got) == dropAt {
					reader.Drop()
				}
			case *Fault:
				t.Errorf("fault: %s", e.Text)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var acked sync.WaitGroup
		for i := range n {
			acked.Add(1)
			err := publisher.PublishAsync(testContext(t), Publication{Channel: "x", Data: fmt.Append(nil, i)}, func(_ Ack, err error) {
				if err != nil {
					t.Error(err)
				}
				acked.Done()
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		acked.Wait()
		select {
		case <-all:
		case <-testContext(t).Done():
			t.Fatal("the reader did not get everything")
		}
		for i, data := range got {
			if data != fmt.Sprint(i) {
				t.Fatalf("message %d is %s", i, data)
			}
		}
		if stored := len(b.Messages("x")); stored != n {
			t.Errorf("%d messages are stored, want %d", stored, n)
		}
	})
}
