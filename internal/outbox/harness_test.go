package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type nowhere struct{}

func (nowhere) Deliver([]*hub.Message) {}
func (nowhere) Resync()                {}

// openLog opens the embedded log on a disk in memory.
func openLog(t testing.TB, disk vfs.FS) *local.Log {
	t.Helper()
	l, err := local.Open(local.Options{Dir: "data", FS: disk, Sink: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// world is an Outbox on a log, which can be restarted.
type world struct {
	*Outbox
	t     *testing.T
	o     Options
	disk  vfs.FS
	log   *local.Log
	apps  []App
	close func()
}

// open starts one with the endpoints of the app "a".
func open(t *testing.T, o Options, endpoints ...Endpoint) *world {
	t.Helper()
	w := &world{t: t, o: o, disk: vfs.NewMem(), apps: []App{{ID: "a", Endpoints: endpoints}}}
	w.start()
	t.Cleanup(func() { w.close() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.log = openLog(w.t, w.disk)
	w.o.Log = w.log
	w.Outbox = New()
	w.Start(w.o)
	w.SetApps(w.apps)
	w.close = sync.OnceFunc(func() {
		w.Close()
		if err := w.log.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) restart() {
	w.t.Helper()
	w.close()
	w.start()
}

// record has events stored, one after the other.
func (w *world) record(events ...Event) {
	w.t.Helper()
	b := (*w.boxes.Load())["a"]
	for _, e := range events {
		if err := b.enqueue(e); err != nil {
			w.t.Fatal(err)
		}
		w.until("the event is stored", func() bool { return len(b.queue.head(1)) == 0 })
	}
}

// until waits for something.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("not in time: ", what)
		}
	}
}

// said is a client event with a number.
func said(channel string, n int) Event {
	return Event{Type: ClientEvent, Channel: channel, Name: "client-said", Data: fmt.Appendf(nil, "%d", n)}
}

// receiver is a backend.
type receiver struct {
	*httptest.Server
	t  *testing.T
	mu sync.Mutex
	// answer says with which status a request is answered; nil: 204.
	answer func(events []nativeEvent) int
	got    []nativeEvent // of the requests that were answered with 2xx
	asked  int
	news   chan struct{}
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, news: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the client has gone
	}
	var events []nativeEvent
	if body[0] == '[' {
		err = json.Unmarshal(body, &events)
	} else {
		events = make([]nativeEvent, 1)
		err = json.Unmarshal(body, &events[0])
	}
	if err != nil {
		r.t.Errorf("%s: %v", body, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	status := http.StatusNoContent
	if r.answer != nil {
		status = r.answer(events)
	}
	if r.asked++; status/100 == 2 {
		r.got = append(r.got, events...)
	}
	poke(r.news)
	w.WriteHeader(status)
}

func (r *receiver) answers(answer func([]nativeEvent) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// until waits until what has come is as it should.
func (r *receiver) until(what string, ok func(got []nativeEvent, asked int) bool) []nativeEvent {
	r.t.Helper()
	for deadline := time.After(patience); ; {
		r.mu.Lock()
		got, asked := slices.Clone(r.got), r.asked
		r.mu.Unlock()
		if ok(got, asked) {
			return got
		}
		select {
		case <-r.news:
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			r.t.Fatalf("%s: %d requests, and taken were %v", what, asked, briefly(got))
		}
	}
}

func (r *receiver) events(n int) []nativeEvent {
	r.t.Helper()
	return r.until(fmt.Sprint(n, " events"), func(got []nativeEvent, _ int) bool { return len(got) >= n })
}

// briefly shows the last of them.
func briefly(events []nativeEvent) (all []string) {
	for _, e := range events[max(0, len(events)-50):] {
		all = append(all, fmt.Sprintf("%s %s %s%s", e.Type, e.Data.Channel, e.Data.Member, e.Data.Data))
	}
	return all
}

// ordered checks that the client events of each channel came in order, from 1 to n, each once.
func ordered(t *testing.T, got []nativeEvent, n int) {
	t.Helper()
	last := map[string]int{}
	for _, e := range got {
		var number int
		if err := json.Unmarshal(e.Data.Data, &number); err != nil {
			t.Fatal(err)
		}
		if number != last[e.Data.Channel]+1 {
			t.Errorf("%s: %d came after %d", e.Data.Channel, number, last[e.Data.Channel])
		}
		last[e.Data.Channel] = number
	}
	for name, number := range last {
		if number != n {
			t.Errorf("%s: the last is %d, want %d", name, number, n)
		}
	}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// at is an endpoint at a receiver.
func at(name string, r *receiver) Endpoint {
	return Endpoint{Name: name, URL: r.URL, Secrets: [][]byte{[]byte("a secret of twenty-four b")}, Allow: loopback, Timeout: 5 * time.Second}
}

// state waits until the status of the endpoint is as it should.
func (w *world) state(name, what string, ok func(Status) bool) Status {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		all, err := w.Status(context.Background(), "a")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range all {
			if s.Endpoint.Name == name && ok(s) {
				return s
			}
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %+v", what, all)
		}
		<-time.After(10 * time.Millisecond)
	}
}
