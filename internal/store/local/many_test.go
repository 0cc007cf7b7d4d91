package local

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/storetest"
)

var manyChannels = flag.Int("channels", 1_000_000, "how many channels BenchmarkManyChannels makes, each with five messages")

// BenchmarkManyChannels opens a log with many channels: how long it takes, and what a channel costs in memory that nobody reads. Opening must not
// depend on their number, nor memory.
func BenchmarkManyChannels(b *testing.B) {
	dir := b.TempDir()
	n := *manyChannels
	l, err := Open(Options{Dir: dir, Sync: SyncNever})
	if err != nil {
		b.Fatal(err)
	}
	for round := range 5 {
		var entries []hub.Entry
		for i := range n {
			entries = append(entries, hub.Entry{
				Message: &hub.Message{Channel: hub.Channel{App: "app", Name: fmt.Sprint("channel-", i)}, OwnID: true, Data: []byte(fmt.Sprint(round, i))},
				Keep:    hub.DefaultRule.Keep,
			})
			if len(entries) == 10_000 || i == n-1 {
				for _, r := range storetest.Append(b, l, entries...) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
				entries = nil
			}
		}
	}
	size := diskSize(b, dir)
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	filled := heap()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	l = nil
	before := heap()
	var opened time.Duration
	b.ResetTimer()
	for range b.N {
		begin := time.Now()
		if l, err = Open(Options{Dir: dir, Sync: SyncNever}); err != nil {
			b.Fatal(err)
		}
		opened += time.Since(begin)
		b.StopTimer()
		if p, err := l.Read(bg, hub.Channel{App: "app", Name: "channel-7"}, hub.Query{Limit: 10}); err != nil || len(p.Messages) != 5 {
			b.Fatal(len(p.Messages), err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(opened.Seconds()/float64(b.N), "s/open")
	b.ReportMetric((filled-before)/float64(n), "heap-B/channel")
	b.ReportMetric(float64(size)/float64(5*n), "disk-B/msg")
}
