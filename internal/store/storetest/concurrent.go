package storetest

import (
	"fmt"
	"sync"

	"github.com/snoserver/sno/internal/hub"
)

// testOneOrder has many publishers: what the sink was given, what was acknowledged and what is read are one order, and each publisher's own
// appends are in its order.
func testOneOrder(f *fixture) {
	const publishers, each = 16, 60
	keeps := f.keeps()
	channel := func(i int) (hub.Channel, hub.Retention) {
		k := keeps[i%len(keeps)]
		return hub.Channel{App: "app", Name: fmt.Sprint("c", i%(2*len(keeps)))}, k
	}
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			var waits sync.WaitGroup
			for i := range each {
				ch, keep := channel(p + i)
				waits.Add(1)
				f.Log.Append([]hub.Entry{entry(ch, keep, fmt.Sprintf("%d-%d", p, i))}, func(r []hub.Result) {
					defer waits.Done()
					if r[0].Err != nil {
						f.Error(r[0].Err)
					}
				})
			}
			waits.Wait()
		})
	}
	all.Wait()
	last := map[hub.Channel]*hub.Message{}
	perPublisher := map[string]int{}
	byChannel := map[hub.Channel][]*hub.Message{}
	for _, m := range f.sink.Messages() {
		if before := last[m.Channel]; before != nil && (m.Prev != before.Offset || m.Offset <= before.Offset || m.Time < before.Time) {
			f.Fatalf("the sink was given %v (after %d, at %d) after %v (at %d)", m.Position(), m.Prev, m.Time, before.Position(), before.Time)
		}
		last[m.Channel] = m
		byChannel[m.Channel] = append(byChannel[m.Channel], m)
		var p, i int
		fmt.Sscanf(m.ID, "%d-%d", &p, &i)
		key := fmt.Sprint(p, m.Channel)
		if was, ok := perPublisher[key]; ok && was >= i {
			f.Fatalf("publisher %d: message %d after %d", p, i, was)
		}
		perPublisher[key] = i
	}
	n := 0
	for i := range 2 * len(keeps) {
		ch, keep := channel(i)
		n += len(byChannel[ch])
		if keep.Store == hub.StoreNone {
			continue
		}
		if p := f.read(ch, hub.Query{Limit: publishers * each, Keep: keep}); fmt.Sprint(ids(p.Messages)) != fmt.Sprint(ids(byChannel[ch])) {
			f.Fatalf("%v: what is read is not what was delivered", ch)
		}
	}
	if n != publishers*each {
		f.Fatalf("%d of %d messages were delivered", n, publishers*each)
	}
}

// testFollow reads on page by page while messages are appended and removed: a reader that is told of no reset misses nothing.
func testFollow(f *fixture) {
	for _, keep := range f.readable() {
		keep.Messages = 200
		const total = 2000
		stop := make(chan struct{})
		var all sync.WaitGroup
		for r := range 2 {
			all.Go(func() {
				at := f.head(chanA, keep)
				for {
					done := false
					select {
					case <-stop:
						done = true
					default:
					}
					p := f.read(chanA, hub.Query{After: &at, Limit: 10 + 40*r, Keep: keep})
					head := f.head(chanA, keep)
					if head.Offset < p.Head.Offset {
						f.Errorf("the head went back from %v to %v", p.Head, head)
					}
					if n := len(p.Messages); n > 0 {
						at = p.Messages[n-1].Position()
					} else if p.Reset != "" {
						at = p.Start
					} else if done {
						if at != head {
							f.Errorf("ended at %v, the head is %v", at, head)
						}
						return
					}
					if last := f.read(chanA, hub.Query{Last: 1, Keep: keep}); p.Head.Offset > 0 && len(last.Messages) == 0 {
						f.Errorf("the newest message is not kept: head %v", last.Head)
						return
					}
				}
			})
		}
		for i := range total / 20 {
			var entries []hub.Entry
			for j := range 20 {
				entries = append(entries, entry(chanA, keep, fmt.Sprintf("%d-%d", i, j)))
			}
			f.append(entries...)
		}
		close(stop)
		all.Wait()
	}
}

// testSubscribe joins while messages are appended: what is read up to the head, and what the sink is given after it, have no gap between them.
func testSubscribe(f *fixture) {
	for _, keep := range f.readable() {
		var all sync.WaitGroup
		all.Go(func() {
			for i := range 300 {
				f.put(chanA, keep, fmt.Sprint(keep.Store, i))
			}
		})
		for range 20 {
			head := f.head(chanA, keep)
			delivered := uint64(0)
			for _, m := range f.sink.Messages() {
				if m.Channel == chanA && m.Epoch == head.Epoch {
					delivered = max(delivered, m.Offset)
				}
			}
			p := f.read(chanA, hub.Query{Last: 1, Keep: keep})
			if p.Head.Offset < delivered || p.Head.Offset < head.Offset {
				f.Fatalf("the page's head is %v; %d was delivered and %v the head before", p.Head, delivered, head)
			}
			if len(p.Messages) == 1 && p.Messages[0].Position() != p.Head {
				f.Fatalf("the newest message is at %v, the head at %v", p.Messages[0].Position(), p.Head)
			}
		}
		all.Wait()
	}
}
