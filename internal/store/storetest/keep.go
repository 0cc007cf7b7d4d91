package storetest

import (
	"fmt"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

func testTrim(f *fixture) {
	for _, keep := range f.readable() {
		r := f.fill(chanA, keep, 10)
		f.fill(chanB, keep, 2)
		trim := func(offset uint64) {
			f.Helper()
			if err := f.Log.Trim(ctx, chanA, offset); err != nil {
				f.Fatal(err)
			}
		}
		trim(r[3].Position.Offset)
		f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), 4, 10)
		trim(r[2].Position.Offset)
		f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), 4, 10)
		p := f.read(chanA, hub.Query{After: &r[2].Position, Keep: keep})
		f.wantIDs(p, 4, 10)
		if p.Reset != hub.ResetExpired {
			f.Fatalf("reset %q", p.Reset)
		}
		if p := f.read(chanA, hub.Query{After: &r[3].Position, Keep: keep}); p.Reset != "" {
			f.Fatalf("reset %q", p.Reset)
		}
		p = f.read(chanA, hub.Query{Before: r[9].Position.Offset, Keep: keep})
		f.wantIDs(p, 4, 9)
		trim(hub.MaxOffset)
		p = f.read(chanA, hub.Query{Keep: keep})
		if len(p.Messages) != 0 || p.Head != r[9].Position {
			f.Fatalf("%+v", p)
		}
		next := f.put(chanA, keep, "next")
		if next.Prev != r[9].Position.Offset {
			f.Fatalf("%+v after %+v", next, r[9])
		}
		f.wantIDs(f.read(chanB, hub.Query{Keep: keep}), 0, 2)
		if err := f.Log.Trim(ctx, hub.Channel{App: "app", Name: "unknown"}, 5); err != nil {
			f.Fatal(err)
		}
	}
}

func testTrimMuch(f *fixture) {
	for _, keep := range f.readable() {
		var entries []hub.Entry
		for i := range 6000 {
			e := ownEntry(chanA, keep)
			if i%10 == 0 {
				e = entry(chanA, keep, fmt.Sprint(i))
			}
			entries = append(entries, e)
		}
		r := f.append(entries...)
		if err := f.Log.Trim(ctx, chanA, r[5500].Position.Offset); err != nil {
			f.Fatal(err)
		}
		if p := f.read(chanA, hub.Query{Keep: keep}); len(p.Messages) != 499 || p.Messages[0].Position() != r[5501].Position {
			f.Fatalf("%d messages are left", len(p.Messages))
		}
		if d := f.put(chanA, keep, "0"); !d.Duplicate || d.Position != r[0].Position {
			f.Fatalf("a removed id got %+v", d)
		}
	}
}

func testKeepMessages(f *fixture) {
	for _, keep := range f.readable() {
		for _, n := range []int{1, 2, 7, 100} {
			keep.Messages = n
			ch := hub.Channel{App: "app", Name: fmt.Sprint(keep.Store, n)}
			for i := range 300 {
				f.put(ch, keep, fmt.Sprintf("id-%d", i))
				if i%17 == 0 {
					f.wantIDs(f.read(ch, hub.Query{Keep: keep}), max(0, i+1-n), i+1)
				}
			}
			f.wantIDs(f.read(ch, hub.Query{Keep: keep}), 300-n, 300)
			f.wantIDs(f.read(ch, hub.Query{Keep: keep, Last: 1000}), 300-n, 300)
			f.wantIDs(f.read(ch, hub.Query{Keep: keep, Before: hub.MaxOffset}), 300-n, 300)
			f.wantIDs(f.read(ch, hub.Query{Keep: keep, Since: time.UnixMilli(1)}), 300-n, 300)
		}
	}
	if f.Reopen == nil {
		return
	}
	f.Log = f.Reopen()
	for _, n := range []int{1, 2, 7, 100} {
		keep := hub.Retention{Messages: n}
		ch := hub.Channel{App: "app", Name: fmt.Sprint(keep.Store, n)}
		f.wantIDs(f.read(ch, hub.Query{Keep: keep}), 300-n, 300)
		f.put(ch, keep, "id-300")
		f.wantIDs(f.read(ch, hub.Query{Keep: keep}), 301-n, 301)
	}
}

func testKeepBytes(f *fixture) {
	for _, keep := range f.readable() {
		f.put(chanB, keep, "id-0")
		size := int64(f.read(chanB, hub.Query{Keep: keep}).Messages[0].Size())
		keep.Bytes = 5*size + size/2
		f.fill(chanA, keep, 10)
		f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), 5, 10)
		keep.Bytes = 1 // always the newest
		f.put(chanA, keep, "id-10")
		f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), 10, 11)
		big := entry(chanA, keep, "id-11")
		big.Message.Data = make([]byte, 10*size)
		f.append(big)
		f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), 11, 12)
	}
}

func testKeepAge(f *fixture) {
	f.needClock()
	for _, keep := range f.readable() {
		keep.Age = time.Minute
		ch := hub.Channel{App: "app", Name: fmt.Sprint(keep.Store)}
		var r []hub.Result
		for i := range 200 {
			r = append(r, f.put(ch, keep, fmt.Sprintf("id-%d", i)))
			f.Advance(time.Second)
		}
		// 200 seconds after the first: those of the last minute are there, the oldest exactly a minute old.
		p := f.read(ch, hub.Query{Keep: keep})
		f.wantIDs(p, 140, 200)
		f.Advance(10 * time.Second)
		f.wantIDs(f.read(ch, hub.Query{Keep: keep}), 150, 200)
		f.wantIDs(f.read(ch, hub.Query{Keep: keep, Before: r[155].Position.Offset}), 150, 155)
		f.wantIDs(f.read(ch, hub.Query{Keep: keep, Last: 500}), 150, 200)
		f.wantIDs(f.read(ch, hub.Query{Keep: keep, Last: 10}), 190, 200)
		p = f.read(ch, hub.Query{Keep: keep, After: &r[148].Position})
		f.wantIDs(p, 150, 200)
		if p.Reset != hub.ResetExpired {
			f.Fatalf("reset %q", p.Reset)
		}
		if p = f.read(ch, hub.Query{Keep: keep, After: &r[149].Position}); p.Reset != "" {
			f.Fatalf("reset %q", p.Reset)
		}
		if f.Reopen != nil && keep.Store == hub.StoreDisk {
			f.Log = f.Reopen()
			f.wantIDs(f.read(ch, hub.Query{Keep: keep}), 150, 200)
		}
		f.Advance(time.Hour)
		p = f.read(ch, hub.Query{Keep: keep, After: &r[198].Position})
		if len(p.Messages) != 0 || p.Reset != hub.ResetExpired || p.Head != r[199].Position {
			f.Fatalf("%+v", p)
		}
		if p = f.read(ch, hub.Query{Keep: keep, After: &r[199].Position}); p.Reset != "" {
			f.Fatalf("reset %q", p.Reset)
		}
		f.put(ch, keep, "id-200")
		f.wantIDs(f.read(ch, hub.Query{Keep: keep}), 200, 201)
	}
}

// A rule that has changed counts at once for what is read.
func testKeepLessLater(f *fixture) {
	for _, keep := range f.readable() {
		f.fill(chanA, keep, 50)
		keep.Messages = 5
		f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), 45, 50)
		f.wantIDs(f.read(chanA, hub.Query{Keep: keep, Last: 20}), 45, 50)
		f.put(chanA, keep, "id-50")
		f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), 46, 51)
	}
}

// Many messages at once to a channel that keeps few.
func testKeepInOneBatch(f *fixture) {
	for _, keep := range f.readable() {
		keep.Messages = 3
		for round := range 3 {
			var entries []hub.Entry
			for i := range 500 {
				entries = append(entries, entry(chanA, keep, fmt.Sprintf("id-%d", round*500+i)))
			}
			for _, r := range f.append(entries...) {
				if r.Err != nil {
					f.Fatal(r.Err)
				}
			}
			end := (round + 1) * 500
			f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), end-3, end)
		}
	}
}

func testMemory(f *fixture) {
	f.need(hub.StoreMemory)
	keep := hub.Retention{Store: hub.StoreMemory, Messages: 3}
	r := f.fill(chanA, keep, 5)
	f.wantIDs(f.read(chanA, hub.Query{Keep: keep}), 2, 5)
	if r[4].Position.Epoch == f.put(chanB, all, "on disk").Position.Epoch {
		f.Fatal("what is in memory has the epoch of what is on disk")
	}
	// The same channel on disk is another log.
	if p := f.read(chanA, hub.Query{}); len(p.Messages) != 0 {
		f.Fatalf("%v are on disk", ids(p.Messages))
	}
}

func testNone(f *fixture) {
	f.need(hub.StoreNone)
	keep := hub.Retention{Store: hub.StoreNone}
	r := f.fill(chanA, keep, 5)
	for i := 1; i < 5; i++ {
		if r[i].Prev != r[i-1].Position.Offset {
			f.Fatalf("%+v after %+v", r[i], r[i-1])
		}
	}
	if n := len(f.sink.Messages()); n != 5 {
		f.Fatalf("%d were delivered", n)
	}
	if p := f.read(chanA, hub.Query{Keep: keep}); len(p.Messages) != 0 || p.Head != r[4].Position {
		f.Fatalf("%+v", p)
	}
	if p := f.read(chanA, hub.Query{Keep: keep, After: &r[4].Position}); p.Reset != "" {
		f.Fatalf("nothing is missing: %+v", p)
	}
	if p := f.read(chanA, hub.Query{Keep: keep, After: &r[3].Position}); p.Reset != hub.ResetExpired || p.Start != p.Head {
		f.Fatalf("one is missing: %+v", p)
	}
}
