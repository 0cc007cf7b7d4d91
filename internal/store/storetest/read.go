package storetest

import (
	"fmt"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

func (f *fixture) readable() (keeps []hub.Retention) {
	for _, k := range f.keeps() {
		if k.Store != hub.StoreNone {
			keeps = append(keeps, k)
		}
	}
	return keeps
}

func testPages(f *fixture) {
	for _, keep := range f.readable() {
		r := f.fill(chanA, keep, 10)
		f.fill(chanB, keep, 3)
		head := r[9].Position
		q := func(q hub.Query) hub.Page {
			f.Helper()
			q.Keep = keep
			p := f.read(chanA, q)
			if p.Head != head {
				f.Fatalf("head %v, want %v", p.Head, head)
			}
			return p
		}
		more := func(p hub.Page, want bool) {
			f.Helper()
			if p.More != want {
				f.Fatalf("more is %v with %v", p.More, ids(p.Messages))
			}
		}
		p := q(hub.Query{Limit: 4})
		f.wantIDs(p, 0, 4)
		more(p, true)
		p = q(hub.Query{Limit: 10})
		f.wantIDs(p, 0, 10)
		more(p, false)
		p = q(hub.Query{Limit: 4, After: &r[3].Position})
		f.wantIDs(p, 4, 8)
		more(p, true)
		p = q(hub.Query{Limit: 4, After: &r[5].Position})
		f.wantIDs(p, 6, 10)
		more(p, false)
		p = q(hub.Query{After: &head})
		f.wantIDs(p, 0, 0)
		more(p, false)
		p = q(hub.Query{Limit: 3, Before: r[5].Position.Offset})
		f.wantIDs(p, 2, 5)
		more(p, true)
		p = q(hub.Query{Limit: 5, Before: r[5].Position.Offset})
		f.wantIDs(p, 0, 5)
		more(p, false)
		p = q(hub.Query{Limit: 2, Before: head.Offset + 1000})
		f.wantIDs(p, 8, 10)
		p = q(hub.Query{Before: r[0].Position.Offset})
		f.wantIDs(p, 0, 0)
		more(p, false)
		p = q(hub.Query{Last: 3})
		f.wantIDs(p, 7, 10)
		more(p, false)
		p = q(hub.Query{Last: 5, Limit: 2})
		f.wantIDs(p, 5, 7)
		more(p, true)
		p = q(hub.Query{Last: 100})
		f.wantIDs(p, 0, 10)
		p = q(hub.Query{After: &hub.Position{}})
		f.wantIDs(p, 0, 10)
	}
}

func testPageBytes(f *fixture) {
	for _, keep := range f.readable() {
		f.fill(chanA, keep, 6)
		size := f.read(chanA, hub.Query{Limit: 1, Keep: keep}).Messages[0].Size()
		p := f.read(chanA, hub.Query{Bytes: 3*size + size/2, Keep: keep})
		f.wantIDs(p, 0, 3)
		p2 := f.read(chanA, hub.Query{Bytes: 1, Keep: keep})
		f.wantIDs(p2, 0, 1)
		p3 := f.read(chanA, hub.Query{Bytes: 2 * size, Before: p.Head.Offset, Keep: keep})
		f.wantIDs(p3, 3, 5)
		p4 := f.read(chanA, hub.Query{Bytes: 1, Before: p.Head.Offset, Keep: keep})
		f.wantIDs(p4, 4, 5)
		p5 := f.read(chanA, hub.Query{Bytes: 6 * size, Keep: keep})
		f.wantIDs(p5, 0, 6)
		if !p.More || !p2.More || !p3.More || !p4.More || p5.More {
			f.Fatal("more is wrong")
		}
	}
}

func testSince(f *fixture) {
	f.needClock()
	for _, keep := range f.readable() {
		f.append(entry(chanB, keep, "before"))
		f.Advance(time.Hour)
		start := f.put(chanA, keep, "id-0")
		at := f.read(chanA, hub.Query{Keep: keep}).Messages[0].When()
		for i := 1; i < 50; i++ {
			if i%3 == 0 {
				f.Advance(time.Second)
			}
			f.put(chanA, keep, fmt.Sprintf("id-%d", i))
		}
		for _, c := range []struct {
			after time.Duration
			from  int
		}{{-time.Minute, 0}, {0, 0}, {time.Millisecond, 3}, {time.Second, 3}, {1001 * time.Millisecond, 6}, {16 * time.Second, 48}, {17 * time.Second, 50}} {
			p := f.read(chanA, hub.Query{Since: at.Add(c.after), Keep: keep})
			f.wantIDs(p, c.from, 50)
		}
		p := f.read(chanA, hub.Query{Since: at.Add(5 * time.Second), Limit: 2, Keep: keep})
		f.wantIDs(p, 15, 17)
		if !p.More || p.Start.Offset <= start.Position.Offset {
			f.Fatalf("%+v", p)
		}
	}
}

func testResetExpired(f *fixture) {
	for _, keep := range f.readable() {
		keep.Messages = 4
		r := f.fill(chanA, keep, 10)
		for i := range 10 {
			p := f.read(chanA, hub.Query{After: &r[i].Position, Keep: keep})
			want := hub.Reset("")
			if i < 5 {
				want = hub.ResetExpired
			}
			if p.Reset != want {
				f.Fatalf("store %d: the cursor behind message %d: reset %q, want %q", keep.Store, i, p.Reset, want)
			}
			f.wantIDs(p, max(6, i+1), 10)
			// Whoever goes on where the reset put it is not reset again.
			again := f.read(chanA, hub.Query{After: &p.Start, Keep: keep})
			if again.Reset != "" || len(again.Messages) != len(p.Messages) {
				f.Fatalf("reset again at %v: %+v", p.Start, again)
			}
		}
		p := f.read(chanA, hub.Query{After: &r[0].Position, Limit: 2, Keep: keep})
		f.wantIDs(p, 6, 8)
		if err := f.Log.Trim(ctx, chanA, r[9].Position.Offset); err != nil {
			f.Fatal(err)
		}
		p = f.read(chanA, hub.Query{After: &r[8].Position, Keep: keep})
		if p.Reset != hub.ResetExpired || p.Start != p.Head || len(p.Messages) != 0 {
			f.Fatalf("the last message was removed: %+v", p)
		}
		p = f.read(chanA, hub.Query{After: &r[9].Position, Keep: keep})
		if p.Reset != "" || p.Head != r[9].Position {
			f.Fatalf("nothing is missing: %+v", p)
		}
	}
}

func testResetAhead(f *fixture) {
	for _, keep := range f.readable() {
		r := f.fill(chanA, keep, 3)
		p := f.read(chanA, hub.Query{After: &hub.Position{Epoch: r[2].Position.Epoch, Offset: r[2].Position.Offset + 1}, Keep: keep})
		if p.Reset != hub.ResetAhead || p.Start != p.Head || len(p.Messages) != 0 {
			f.Fatalf("%+v", p)
		}
	}
}

func testResetEpoch(f *fixture) {
	for _, keep := range f.readable() {
		r := f.fill(chanA, keep, 3)
		for _, offset := range []uint64{0, r[1].Position.Offset, r[2].Position.Offset + 100} {
			p := f.read(chanA, hub.Query{After: &hub.Position{Epoch: "of another log", Offset: offset}, Keep: keep})
			if p.Reset != hub.ResetEpoch {
				f.Fatalf("%+v", p)
			}
			f.wantIDs(p, 0, 3)
			if again := f.read(chanA, hub.Query{After: &p.Start, Keep: keep}); again.Reset != "" || len(again.Messages) != 3 {
				f.Fatalf("reset again: %+v", again)
			}
		}
	}
}

func testReopen(f *fixture) {
	f.needReopen()
	r := f.fill(chanA, all, 10)
	memory := hub.Retention{Store: hub.StoreMemory}
	inMemory := f.stores(hub.StoreMemory)
	var mem hub.Result
	if inMemory {
		mem = f.put(chanB, memory, "gone")
	}
	empty := hub.Channel{App: "app", Name: "empty"}
	h := f.head(empty, all)
	for range 3 {
		f.Log = f.Reopen()
		p := f.read(chanA, hub.Query{})
		f.wantIDs(p, 0, 10)
		if p.Head != r[9].Position {
			f.Fatalf("the head is %v, was %v", p.Head, r[9].Position)
		}
		p = f.read(chanA, hub.Query{After: &r[4].Position})
		f.wantIDs(p, 5, 10)
		if p.Reset != "" {
			f.Fatalf("reset %q", p.Reset)
		}
		if p = f.read(empty, hub.Query{After: &h}); p.Reset != "" {
			f.Fatalf("reset %q where nothing was", p.Reset)
		}
		if inMemory {
			if p = f.read(chanB, hub.Query{After: &mem.Position, Keep: memory}); p.Reset != hub.ResetEpoch || len(p.Messages) != 0 {
				f.Fatalf("what was in memory: %+v", p)
			}
		}
	}
	next := f.put(chanA, all, "id-10")
	if next.Prev != r[9].Position.Offset || next.Position.Epoch != r[9].Position.Epoch || next.Position.Offset <= next.Prev {
		f.Fatalf("%+v after %+v", next, r[9])
	}
	f.wantIDs(f.read(chanA, hub.Query{}), 0, 11)
}

func (f *fixture) stores(s hub.Store) bool {
	for _, k := range f.keeps() {
		if k.Store == s {
			return true
		}
	}
	return false
}
