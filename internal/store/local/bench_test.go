package local

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

var benchKeep = hub.Retention{Messages: 100_000, Bytes: 64 << 20}

// benchAppend has n publishers that each wait for their answer before they append again.
func benchAppend(b *testing.B, o Options, publishers, size int, ids bool) {
	o.Dir = b.TempDir()
	l, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	data := make([]byte, size)
	for i := range data {
		data[i] = "abcdefghijklmnopqrstuvwxyz012345"[(i*7+i/32)%32]
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.SetBytes(int64(size))
	b.ResetTimer()
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			ch := hub.Channel{App: "app", Name: fmt.Sprintf("channel-%d", p%64)}
			done := make(chan []hub.Result, 1)
			answer := func(r []hub.Result) { done <- r }
			for n := 0; left.Add(-1) >= 0; n++ {
				m := &hub.Message{Channel: ch, OwnID: true, Event: "tick", Data: data}
				if ids {
					m.OwnID, m.ID = false, fmt.Sprintf("%d-%d", p, n)
				}
				l.Append([]hub.Entry{{Message: m, Keep: benchKeep}}, answer)
				if r := <-done; r[0].Err != nil {
					b.Error(r[0].Err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkAppend(b *testing.B) {
	for _, s := range []Sync{SyncAlways, SyncInterval, SyncNever} {
		for _, publishers := range []int{1, 16, 256, 1024} {
			for _, size := range []int{200, 2000, 100_000} {
				b.Run(fmt.Sprintf("sync=%v/publishers=%d/size=%d", s, publishers, size), func(b *testing.B) {
					benchAppend(b, Options{Sync: s}, publishers, size, false)
				})
			}
		}
	}
}

// BenchmarkAppendWithIDs looks every id up before it stores the message.
func BenchmarkAppendWithIDs(b *testing.B) {
	for _, publishers := range []int{256, 1024} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) { benchAppend(b, Options{}, publishers, 200, true) })
	}
}

func BenchmarkRead(b *testing.B) {
	l, err := Open(Options{Dir: b.TempDir(), Sync: SyncNever})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	const channels, each = 200, 1000
	positions := make([]hub.Position, each)
	for i := range each {
		var entries []hub.Entry
		for c := range channels {
			entries = append(entries, hub.Entry{Message: &hub.Message{Channel: benchChannel(c), OwnID: true, Data: make([]byte, 200)}})
		}
		done := make(chan []hub.Result)
		l.Append(entries, func(r []hub.Result) { done <- r })
		positions[i] = (<-done)[0].Position
	}
	page := func(b *testing.B, l *Log, c int, q hub.Query, want int) {
		p, err := l.Read(context.Background(), benchChannel(c), q)
		if err != nil || len(p.Messages) != want {
			b.Fatal(len(p.Messages), err)
		}
	}
	read := func(b *testing.B) {
		b.Run("page=100/warm", func(b *testing.B) {
			for b.Loop() {
				page(b, l, 0, hub.Query{Last: 100, Limit: 100}, 100)
			}
		})
		b.Run("resume=50", func(b *testing.B) {
			at := positions[each-51]
			for i := 0; b.Loop(); i++ {
				page(b, l, 0, hub.Query{After: &at, Limit: 100}, 50)
			}
		})
		b.Run("page=100/spread", func(b *testing.B) {
			at := positions[100]
			for i := 0; b.Loop(); i++ {
				page(b, l, i*37%channels, hub.Query{After: &at, Limit: 100}, 100)
			}
		})
	}
	b.Run("memtable", read)
	if err := l.inst.Load().flush(); err != nil {
		b.Fatal(err)
	}
	b.Run("flushed", read)
}

func benchChannel(i int) hub.Channel {
	return hub.Channel{App: "app", Name: fmt.Sprintf("channel-%d", i)}
}
