package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/snoserver/sno/internal/client"
)

// TestP3NoDuplicates publishes the same ids many times at once, over WebSocket and HTTP: each is stored once, and every publisher is told where.
func TestP3NoDuplicates(t *testing.T) {
	url, _ := serve(t)
	reader := dial(t, url)
	f := follow(t, reader, "c", client.SubscribeOptions{})
	const ids, publishers = 100, 8
	var mu sync.Mutex
	offsets := map[string]map[uint64]bool{}
	note := func(id string, offset uint64) {
		mu.Lock()
		defer mu.Unlock()
		if offsets[id] == nil {
			offsets[id] = map[uint64]bool{}
		}
		offsets[id][offset] = true
	}
	var wg sync.WaitGroup
	for p := range publishers {
		c := dial(t, url)
		wg.Go(func() {
			for i := range ids {
				id := fmt.Sprint("m", i)
				if p%2 == 0 {
					note(id, postID(t, url, id))
					continue
				}
				ack, err := c.Publish(t.Context(), client.Publication{Channel: "c", ID: id, Data: []byte("1")})
				if err != nil {
					t.Error(err)
				}
				note(id, ack.Position.Offset)
			}
		})
	}
	wg.Wait()
	last := publishN(t, reader, "c", "last", 1)[0]
	seen := map[string]uint64{}
	for {
		m := next(t, "message", f.messages)
		if m.Position == last {
			break
		}
		if _, twice := seen[m.ID]; twice {
			t.Errorf("%s came twice", m.ID)
		}
		seen[m.ID] = m.Position.Offset
	}
	if len(seen) != ids {
		t.Errorf("%d messages came, want %d", len(seen), ids)
	}
	for id, at := range offsets {
		if len(at) != 1 || !at[seen[id]] {
			t.Errorf("%s is at %d, its publishers were told %v", id, seen[id], at)
		}
	}
}

func postID(t *testing.T, url, id string) uint64 {
	body := fmt.Appendf(nil, `{"id":%q,"data":1}`, id)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/channels/c/messages", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	req.SetBasicAuth("dev", secret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	var got struct{ Offset uint64 }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %v", resp.Status, err)
	}
	return got.Offset
}
