// Package storetest is the suite that every hub.Log passes.
//
// It takes nothing for granted but the contract written on hub.Log: offsets increase within a channel and are not dense, offsets of two channels
// cannot be compared, and there need be no disk.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Harness is a log under test and what can be done to it besides.
type Harness struct {
	Log hub.Log
	// Reopen closes the log and opens it again, as after a restart, with the same sink. Nil: cases that need it are skipped.
	Reopen func() hub.Log
	// Advance moves the log's clock on. Nil: the clock is the world's, and cases that need it are skipped.
	Advance func(time.Duration)
	// Stores are those that the log can keep messages in. Nil: all of them.
	Stores []hub.Store
}

// Opener opens a fresh, empty log that delivers to sink. It closes the log and removes everything in a cleanup of t.
type Opener func(t testing.TB, sink hub.Sink) *Harness

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		run  func(*fixture)
	}{
		{"Positions", testPositions},
		{"Empty", testEmpty},
		{"Fields", testFields},
		{"Names", testNames},
		{"OwnIDs", testOwnIDs},
		{"Duplicates", testDuplicates},
		{"DuplicatesOfRemoved", testDuplicatesOfRemoved},
		{"DuplicatesInFlight", testDuplicatesInFlight},
		{"Expect", testExpect},
		{"Pages", testPages},
		{"PageBytes", testPageBytes},
		{"Since", testSince},
		{"ResetExpired", testResetExpired},
		{"ResetAhead", testResetAhead},
		{"ResetEpoch", testResetEpoch},
		{"Trim", testTrim},
		{"TrimMuch", testTrimMuch},
		{"KeepMessages", testKeepMessages},
		{"KeepBytes", testKeepBytes},
		{"KeepAge", testKeepAge},
		{"KeepLessLater", testKeepLessLater},
		{"KeepInOneBatch", testKeepInOneBatch},
		{"Reopen", testReopen},
		{"Closed", testClosed},
		{"Memory", testMemory},
		{"None", testNone},
		{"OneOrder", testOneOrder},
		{"FollowWhileAppending", testFollow},
		{"NoGapAtSubscribe", testSubscribe},
		{"BadLimit", testBadLimit},
		{"Channels", testChannels},
		{"ChannelPages", testChannelPages},
		{"Kept", testKept},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newFixture(t, open)) })
	}
	t.Run("Model", func(t *testing.T) { testModel(t, open) })
}

// Collector is a sink that keeps what it is given.
type Collector struct {
	mu      sync.Mutex
	got     []*hub.Message
	resyncs int
}

// Deliver implements hub.Sink.
func (c *Collector) Deliver(batch []*hub.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, batch...)
}

// Resync implements hub.Sink.
func (c *Collector) Resync() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resyncs++
}

// Messages returns what was delivered so far.
func (c *Collector) Messages() []*hub.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*hub.Message(nil), c.got...)
}

// Resyncs returns how often Resync was called.
func (c *Collector) Resyncs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resyncs
}

type fixture struct {
	testing.TB
	*Harness
	Log  hub.Log // Harness's, not testing.TB's
	sink *Collector
}

var ctx = context.Background()

func newFixture(t testing.TB, open Opener) *fixture {
	sink := &Collector{}
	h := open(t, sink)
	return &fixture{t, h, h.Log, sink}
}

func (f *fixture) need(s hub.Store) {
	f.Helper()
	if f.Stores == nil {
		return
	}
	for _, have := range f.Stores {
		if have == s {
			return
		}
	}
	f.Skip("this log does not keep messages there")
}

func (f *fixture) needReopen() {
	f.Helper()
	if f.Reopen == nil {
		f.Skip("this log cannot be opened again")
	}
}

func (f *fixture) needClock() {
	f.Helper()
	if f.Advance == nil {
		f.Skip("this log's clock cannot be moved")
	}
}

// Append appends and waits. It checks that done is called once with a result for each entry.
func Append(t testing.TB, l hub.Log, entries ...hub.Entry) []hub.Result {
	t.Helper()
	done := make(chan []hub.Result, 2)
	l.Append(entries, func(r []hub.Result) { done <- r })
	select {
	case r := <-done:
		if len(r) != len(entries) {
			t.Fatalf("%d results for %d entries", len(r), len(entries))
		}
		return r
	case <-time.After(time.Minute):
		t.Fatal("done was not called within a minute")
		return nil
	}
}

func (f *fixture) append(entries ...hub.Entry) []hub.Result {
	f.Helper()
	return Append(f.TB, f.Log, entries...)
}

// put appends one message that must be stored.
func (f *fixture) put(ch hub.Channel, keep hub.Retention, id string) hub.Result {
	f.Helper()
	r := f.append(entry(ch, keep, id))[0]
	if r.Err != nil {
		f.Fatalf("append %q to %v: %v", id, ch, r.Err)
	}
	return r
}

func (f *fixture) fill(ch hub.Channel, keep hub.Retention, n int) (all []hub.Result) {
	f.Helper()
	for i := range n {
		all = append(all, f.put(ch, keep, fmt.Sprintf("id-%d", i)))
	}
	return all
}

func entry(ch hub.Channel, keep hub.Retention, id string) hub.Entry {
	return hub.Entry{Message: &hub.Message{Channel: ch, ID: id, Event: "e", Data: []byte(`"` + id + `"`)}, Keep: keep}
}

func ownEntry(ch hub.Channel, keep hub.Retention) hub.Entry {
	return hub.Entry{Message: &hub.Message{Channel: ch, OwnID: true, Data: []byte("1")}, Keep: keep}
}

// read reads a page and checks what is true of every page.
func (f *fixture) read(ch hub.Channel, q hub.Query) hub.Page {
	f.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	p, err := f.Log.Read(ctx, ch, q)
	if err != nil {
		f.Fatalf("read %v %+v: %v", ch, q, err)
	}
	CheckPage(f, ch, q, p)
	return p
}

// CheckPage checks what is true of every page.
func CheckPage(t fataler, ch hub.Channel, q hub.Query, p hub.Page) {
	t.Helper()
	if len(p.Messages) > q.Limit {
		t.Fatalf("%d messages on a page of at most %d", len(p.Messages), q.Limit)
	}
	size := 0
	for i, m := range p.Messages {
		if size += m.Size(); q.Bytes > 0 && i > 0 && size > q.Bytes {
			t.Fatalf("the page has %d bytes with message %d; the limit is %d", size, i, q.Bytes)
		}
		if m.Channel != ch {
			t.Fatalf("a message of %v on a page of %v", m.Channel, ch)
		}
		if m.Prev >= m.Offset || m.Offset > p.Head.Offset || m.Offset > hub.MaxOffset {
			t.Fatalf("message %d is at %v after %d, the head at %v", i, m.Position(), m.Prev, p.Head)
		}
		if i > 0 && m.Prev != p.Messages[i-1].Offset {
			t.Fatalf("a gap: message %d is after %d, the one before it at %d", i, m.Prev, p.Messages[i-1].Offset)
		}
	}
	if len(p.Messages) > 0 && p.Messages[0].Prev > p.Start.Offset {
		t.Fatalf("a gap: the page starts at %v, its first message is after %d", p.Start, p.Messages[0].Prev)
	}
	if len(p.Messages) > 0 && p.Messages[0].Offset <= p.Start.Offset {
		t.Fatalf("a message twice: the page starts at %v, its first message is at %v", p.Start, p.Messages[0].Position())
	}
	if q.After != nil && p.Reset == "" && p.Start != *q.After {
		t.Fatalf("the cursor %v was moved to %v without a reset", *q.After, p.Start)
	}
	if q.After == nil && p.Reset != "" {
		t.Fatalf("reset %q without a cursor", p.Reset)
	}
}

// fataler is what testing.TB and rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (f *fixture) head(ch hub.Channel, keep hub.Retention) hub.Position {
	f.Helper()
	p, err := f.Log.Head(ctx, ch, keep)
	if err != nil {
		f.Fatalf("head of %v: %v", ch, err)
	}
	return p
}

func ids(ms []*hub.Message) []string {
	all := make([]string, len(ms))
	for i, m := range ms {
		all[i] = m.ID
	}
	return all
}

// wantIDs checks which messages a page has: those that fill made, from and up to.
func (f *fixture) wantIDs(p hub.Page, from, to int) {
	f.Helper()
	var want []string
	for i := from; i < to; i++ {
		want = append(want, fmt.Sprintf("id-%d", i))
	}
	if got := ids(p.Messages); fmt.Sprint(got) != fmt.Sprint(want) {
		f.Fatalf("got %v, want %v", got, want)
	}
}

func (f *fixture) wantCode(err error, code hub.Code) {
	f.Helper()
	var e *hub.Error
	if !errors.As(err, &e) || e.Code != code {
		f.Fatalf("got error %v, want code %v", err, code)
	}
}

var (
	chanA = hub.Channel{App: "app", Name: "a"}
	chanB = hub.Channel{App: "app", Name: "b"}
	all   = hub.Retention{}
)
