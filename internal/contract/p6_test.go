package contract

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/store/local"
)

// TestP6MemoryIsBounded lets readers fall far behind: it must cost hardly anything per reader, however far.
func TestP6MemoryIsBounded(t *testing.T) {
	// With race detection on, the store's memtables count as heap: small ones do not hide what is measured.
	s := serveOn(t, "", local.Options{Dir: t.TempDir(), MemtableBytes: 4 << 20})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	url := s.url()
	publisher := dial(t, url)
	const readers, behind, size = 20, 2000, 16 << 10 // 32 MB behind, each
	payload := []byte(fmt.Sprintf("%q", strings.Repeat("x", size)))
	publish := func(n int) {
		t.Helper()
		acks := make(chan error, n)
		for range n {
			if err := publisher.PublishAsync(t.Context(), publication("c", payload), acked(acks)); err != nil {
				t.Fatal(err)
			}
		}
		for range n {
			if err := next(t, "acknowledgement", acks); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(1000) // the log's own buffers are in use
	var slow []*websocket.Conn
	for range readers {
		slow = append(slow, stalledReader(t, url))
	}
	before := heap()
	publish(behind)
	// The log may be busy for a moment with what was published: what counts is what stays.
	const most = readers << 20
	grown := int64(heap()) - int64(before)
	for end := time.Now().Add(patience); grown > most && time.Now().Before(end); wait(time.Second) {
		grown = int64(heap()) - int64(before)
	}
	t.Logf("%d readers, each up to %d MB behind: the heap grew by %d kB", readers, behind*size>>20, grown>>10)
	if grown > most {
		t.Errorf("the heap grew by %d bytes, more than %d", grown, most)
	}
	// And nobody was cut off: the first one can still read everything.
	seen := 0
	for seen < behind {
		_, b, err := slow[0].ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		seen += bytes.Count(b, []byte(`"type":"message"`))
	}
	for _, ws := range slow {
		ws.Close()
	}
}

// heap returns the bytes of live objects.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what pools keep goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// stalledReader subscribes and reads nothing.
func stalledReader(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+url[len("http"):]+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, frame := range []string{`{"type":"connect"}`, `{"type":"subscribe","ref":1,"channel":"c"}`} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(`"subscribed"`)) {
			return ws
		}
	}
}
