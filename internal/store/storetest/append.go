package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

func testPositions(f *fixture) {
	var last hub.Result
	for i := range 20 {
		ch := []hub.Channel{chanA, chanB}[i%2]
		r := f.put(ch, all, fmt.Sprint(i))
		if r.ID != fmt.Sprint(i) || r.Duplicate || r.Position.Offset == 0 || r.Position.Epoch == "" {
			f.Fatalf("result %+v", r)
		}
		if h := f.head(ch, all); h != r.Position {
			f.Fatalf("the head is %v after an append at %v", h, r.Position)
		}
		if ch == chanA {
			if r.Position.Offset <= last.Position.Offset || r.Prev != last.Position.Offset {
				f.Fatalf("%+v after %+v", r, last)
			}
			last = r
		}
		got := f.sink.Messages()
		if m := got[len(got)-1]; len(got) != i+1 || m.Position() != r.Position || m.Prev != r.Prev || m.Time == 0 {
			f.Fatalf("acknowledged %+v; the sink was given %d messages", r, len(got))
		}
	}
}

// A subscriber takes the head of a channel that does not exist yet, and later resumes from there: it has missed nothing, or all there is.
func testEmpty(f *fixture) {
	for _, keep := range f.keeps() {
		h := f.head(chanA, keep)
		p := f.read(chanA, hub.Query{Keep: keep})
		if len(p.Messages) != 0 || p.More || p.Head != h || p.Start != h {
			f.Fatalf("empty page %+v, head %v", p, h)
		}
		p = f.read(chanA, hub.Query{After: &h, Keep: keep})
		if p.Reset != "" || len(p.Messages) != 0 {
			f.Fatalf("resumed from the head of nothing: %+v", p)
		}
		p = f.read(chanA, hub.Query{After: &hub.Position{Epoch: h.Epoch, Offset: h.Offset + 1}, Keep: keep})
		if p.Reset != hub.ResetAhead || p.Start != p.Head {
			f.Fatalf("resumed ahead of nothing: %+v", p)
		}
		for _, q := range []hub.Query{{Before: 5}, {Last: 3}, {Since: time.Unix(1, 0)}} {
			q.Keep = keep
			if p := f.read(chanA, q); len(p.Messages) != 0 || p.More {
				f.Fatalf("%+v of nothing: %+v", q, p)
			}
		}
		r := f.put(chanA, keep, "first")
		if r.Position.Offset <= h.Offset {
			f.Fatalf("the first message is at %v, the head was %v", r.Position, h)
		}
		if keep.Store != hub.StoreNone {
			p = f.read(chanA, hub.Query{After: &h, Keep: keep})
			if p.Reset != "" || len(p.Messages) != 1 {
				f.Fatalf("resumed from before the first message: %+v", p)
			}
		}
	}
}

func (f *fixture) keeps() (keeps []hub.Retention) {
	stores := f.Stores
	if stores == nil {
		stores = []hub.Store{hub.StoreDisk, hub.StoreMemory, hub.StoreNone}
	}
	for _, s := range stores {
		keeps = append(keeps, hub.Retention{Store: s})
	}
	return keeps
}

func testFields(f *fixture) {
	put := []*hub.Message{
		{ID: "1", Event: "e", Data: []byte(`{"a":1}`), Headers: map[string]string{"k": "v", "": "", "long": strings.Repeat("x", 3000)}, Client: "c", Exclude: "s"},
		{ID: strings.Repeat("i", 256), Data: []byte{}},
		{ID: "3", Data: []byte{0, 255, 1}, Binary: true},
		{ID: "4\x00", Event: "\x00\xff", Data: []byte(strings.Repeat("y", 1<<20))},
		{OwnID: true, Data: []byte("null")},
	}
	for _, m := range put {
		m.Channel = chanA
		if r := f.append(hub.Entry{Message: m})[0]; r.Err != nil || r.ID != m.ID || m.ID == "" {
			f.Fatalf("%.60q: %+v", m.ID, r)
		}
	}
	check := func() {
		p := f.read(chanA, hub.Query{})
		if len(p.Messages) != len(put) {
			f.Fatalf("%d messages", len(p.Messages))
		}
		for i, m := range p.Messages {
			want, got := plain(put[i]), plain(m)
			if !reflect.DeepEqual(want, got) {
				f.Fatalf("message %d came back as\n%.300v, not\n%.300v", i, got, want)
			}
			if m.Size() != put[i].Size() {
				f.Fatalf("message %d has size %d, not %d", i, m.Size(), put[i].Size())
			}
		}
	}
	check()
	if f.Reopen != nil {
		f.Log = f.Reopen()
		check()
	}
}

// plain is a message without what it carries for its encodings.
func plain(m *hub.Message) any {
	return []any{m.Channel, m.ID, m.OwnID, m.Event, string(m.Data), m.Binary, len(m.Headers), fmt.Sprint(m.Headers), m.Client, m.Exclude, m.Time, m.Epoch, m.Offset, m.Prev}
}

// Names that would do harm if they reached a key, a subject or a path as they are.
func testNames(f *fixture) {
	names := []string{"", "\x00", "\x00\x01", "\x00\xff", "a", "a\x00", "a\x00\x01b", ">", "*", "a.b", "a.*", ".", "..", "../x", "$SYS", "ä\u2028", "\xff", "\xff\xff",
		strings.Repeat("n", 5000), strings.Repeat("n", 4999) + ">"}
	var channels []hub.Channel
	for _, app := range []string{"", "a", "a\x00", "\x00\x01", "\xff"} {
		for _, n := range names {
			channels = append(channels, hub.Channel{App: app, Name: n})
		}
	}
	var entries []hub.Entry
	for i, ch := range channels {
		entries = append(entries, entry(ch, all, fmt.Sprint(i)))
	}
	for i, r := range f.append(entries...) {
		if r.Err != nil {
			f.Fatalf("append to %.40q: %v", channels[i], r.Err)
		}
	}
	for i, ch := range channels {
		if p := f.read(ch, hub.Query{}); len(p.Messages) != 1 || p.Messages[0].ID != fmt.Sprint(i) {
			f.Fatalf("%.40q has %v", ch, ids(p.Messages))
		}
	}
}

func testOwnIDs(f *fixture) {
	seen := map[string]bool{}
	for _, keep := range f.keeps() {
		for range 10 {
			r := f.append(ownEntry(chanA, keep), ownEntry(chanA, keep))
			for _, r := range r {
				if r.Err != nil || r.ID == "" || seen[r.ID] || r.Duplicate || len(r.ID) > 64 {
					f.Fatalf("%+v", r)
				}
				seen[r.ID] = true
			}
		}
		if keep.Store == hub.StoreNone {
			continue
		}
		for _, m := range f.read(chanA, hub.Query{Keep: keep}).Messages {
			if !seen[m.ID] || !m.OwnID {
				f.Fatalf("%q was read and not given", m.ID)
			}
		}
	}
}

func testDuplicates(f *fixture) {
	for _, keep := range f.keeps() {
		first := f.put(chanA, keep, "x")
		f.put(chanA, keep, "y")
		other := f.put(chanB, keep, "x")
		if other.Duplicate {
			f.Fatal("an id of another channel counted")
		}
		n := len(f.sink.Messages())
		r := f.append(entry(chanA, keep, "x"), entry(chanA, keep, "z"), entry(chanA, keep, "z"))
		if d := r[0]; !d.Duplicate || d.Position != first.Position || d.Prev != first.Prev || d.ID != "x" || d.Err != nil {
			f.Fatalf("a repeated id got %+v, the first %+v", d, first)
		}
		if r[1].Duplicate || !r[2].Duplicate || r[1].Position != r[2].Position || r[1].Prev != r[2].Prev {
			f.Fatalf("an id twice at once: %+v", r)
		}
		if got := len(f.sink.Messages()); got != n+1 {
			f.Fatalf("%d messages were delivered for one", got-n)
		}
	}
	if f.Reopen == nil {
		return
	}
	h := f.head(chanA, all)
	f.Log = f.Reopen()
	if r := f.put(chanA, all, "x"); !r.Duplicate || f.head(chanA, all) != h {
		f.Fatalf("after opening again: %+v", r)
	}
}

// An id is remembered as long as its message and at least ten minutes.
func testDuplicatesOfRemoved(f *fixture) {
	f.needClock()
	for _, keep := range f.keeps() {
		keep.Messages = 1
		first := f.put(chanA, keep, "x")
		for i := range 100 {
			f.put(chanA, keep, fmt.Sprint(i))
		}
		f.Advance(9 * time.Minute)
		if r := f.put(chanA, keep, "x"); !r.Duplicate || r.Position != first.Position || r.Prev != first.Prev {
			f.Fatalf("store %d: after nine minutes %+v, the first was %+v", keep.Store, r, first)
		}
		f.Advance(2 * time.Minute)
		if r := f.put(chanA, keep, "x"); r.Duplicate {
			f.Fatalf("store %d: after eleven minutes, removed: %+v", keep.Store, r)
		}
		if keep.Store == hub.StoreNone {
			continue
		}
		f.Advance(time.Hour)
		if r := f.put(chanA, keep, "x"); !r.Duplicate {
			f.Fatalf("store %d: after an hour, kept: %+v", keep.Store, r)
		}
	}
}

// A repeated id is not answered before the first message is stored, and is answered the same.
func testDuplicatesInFlight(f *fixture) {
	for _, keep := range f.keeps() {
		const n = 50
		results := make(chan hub.Result, n)
		for range n {
			f.Log.Append([]hub.Entry{entry(chanA, keep, "same")}, func(r []hub.Result) {
				if len(f.sink.Messages()) == 0 {
					f.Error("answered before anything was stored")
				}
				results <- r[0]
			})
		}
		var firsts int
		at := map[hub.Position]bool{}
		for range n {
			r := <-results
			if r.Err != nil {
				f.Fatal(r.Err)
			}
			if !r.Duplicate {
				firsts++
			}
			at[r.Position] = true
		}
		if firsts != 1 || len(at) != 1 {
			f.Fatalf("store %d: %d firsts at %d positions", keep.Store, firsts, len(at))
		}
	}
}

func testExpect(f *fixture) {
	for _, keep := range f.keeps() {
		expect := func(id string, at hub.Position) hub.Result {
			e := entry(chanA, keep, id)
			e.Expect = &at
			return f.append(e)[0]
		}
		empty := f.head(chanA, keep)
		first := expect("1", empty)
		if first.Err != nil {
			f.Fatal(first.Err)
		}
		f.wantCode(expect("2", empty).Err, hub.CodeConflict)
		f.wantCode(expect("2", hub.Position{Epoch: "another", Offset: first.Position.Offset}).Err, hub.CodeConflict)
		f.wantCode(expect("2", hub.Position{Epoch: first.Position.Epoch, Offset: first.Position.Offset + 1}).Err, hub.CodeConflict)
		if r := expect("1", empty); !r.Duplicate || r.Position != first.Position {
			f.Fatalf("a retry got %+v", r)
		}
		if r := expect("2", first.Position); r.Err != nil || r.Prev != first.Position.Offset {
			f.Fatalf("the expected position got %+v", r)
		}
		// Two in one append: the second sees the first. Entries fail each on its own.
		h := f.head(chanA, keep)
		a, b, c := entry(chanA, keep, "3"), entry(chanA, keep, "4"), entry(chanA, keep, "5")
		a.Expect, b.Expect = &h, &h
		r := f.append(a, b, c)
		f.wantCode(r[1].Err, hub.CodeConflict)
		if r[0].Err != nil || r[2].Err != nil || r[2].Prev != r[0].Position.Offset {
			f.Fatalf("%+v", r)
		}
	}
}

func testClosed(f *fixture) {
	f.put(chanA, all, "1")
	if err := f.Log.Close(); err != nil {
		f.Fatal(err)
	}
	f.wantCode(f.append(entry(chanA, all, "2"))[0].Err, hub.CodeUnavailable)
	_, err := f.Log.Read(ctx, chanA, hub.Query{Limit: 1})
	f.wantCode(err, hub.CodeUnavailable)
	_, err = f.Log.Head(ctx, chanA, all)
	f.wantCode(err, hub.CodeUnavailable)
	f.wantCode(f.Log.Trim(ctx, chanA, 1), hub.CodeUnavailable)
	if err := f.Log.Close(); err != nil {
		f.Fatalf("closed again: %v", err)
	}
}

func testBadLimit(f *fixture) {
	_, err := f.Log.Read(ctx, chanA, hub.Query{})
	f.wantCode(err, hub.CodeBadRequest)
}
