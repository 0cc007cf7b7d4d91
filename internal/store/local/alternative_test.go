package local

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/snoserver/sno/internal/hub"
)

// BenchmarkBbolt is what Pebble was measured against: the same records under the same keys, gathered in the same way into one
// transaction and one fsync, with none of the rest (ids, retention, readers) that Log does.
func BenchmarkBbolt(b *testing.B) {
	for _, publishers := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprintf("publishers=%d/size=200", publishers), func(b *testing.B) { benchBbolt(b, publishers, 200) })
	}
}

type boltEntry struct {
	m    *hub.Message
	done chan struct{}
}

func benchBbolt(b *testing.B, publishers, size int) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	bucket := []byte("m")
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		b.Fatal(err)
	}
	queue := make(chan boltEntry, 4096)
	committed := make(chan struct{})
	go func() {
		defer close(committed)
		sequence := uint64(0)
		for e := range queue {
			batch := append(make([]boltEntry, 0, 1024), e)
			for more := true; more && len(batch) < batchEntries; {
				select {
				case e, ok := <-queue:
					if more = ok; ok {
						batch = append(batch, e)
					}
				default:
					more = false
				}
			}
			err := db.Update(func(tx *bbolt.Tx) error {
				for _, e := range batch {
					sequence++
					e.m.Offset = sequence
					number := uint64(e.m.Client[0])
					if err := tx.Bucket(bucket).Put(messageKey(number, sequence), encodeRecord(e.m, number)); err != nil {
						return err
					}
				}
				return tx.Bucket(bucket).Put(keySequence, binary.BigEndian.AppendUint64(nil, sequence))
			})
			if err != nil {
				b.Error(err)
			}
			for _, e := range batch {
				e.done <- struct{}{}
			}
		}
	}()
	data := make([]byte, size)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			done := make(chan struct{}, 1)
			for left.Add(-1) >= 0 {
				queue <- boltEntry{&hub.Message{OwnID: true, Event: "tick", Client: string(rune(p % 64)), Data: data}, done}
				<-done
			}
		})
	}
	all.Wait()
	b.StopTimer()
	close(queue)
	<-committed
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
