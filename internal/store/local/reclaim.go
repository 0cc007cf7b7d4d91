package local

import (
	"context"
	"time"
)

const (
	reclaimRanges = 64       // channels compacted at once at most; of more, Pebble takes care in its own time
	reclaimBytes  = 16 << 20 // worth compacting for while there is space enough
)

// deleted is what has been deleted from disk since it was last compacted away.
type deleted struct {
	bytes   uint64
	through map[uint64]uint64 // by channel number: messages up to an offset
}

// reaped notes what is deleted. A deleted message takes as much of the disk as before until its deletion has left the memtable and met
// it in a compaction. Pebble does that as the store is written to; when a channel is trimmed, or there is no space to write, it has to be asked.
func (c *committer) reaped(number uint64, items []trimItem) {
	d := &c.deleted
	for i := range items {
		d.bytes += uint64(items[i].length)
	}
	if d.through == nil {
		d.through = map[uint64]uint64{}
	}
	if len(d.through) < reclaimRanges {
		d.through[number] = items[len(items)-1].offset
	}
}

// reclaim hands on what is worth it: after a trim, or while space is short.
func (c *committer) reclaim() {
	if c.deleted.bytes == 0 || c.deleted.bytes < reclaimBytes && !c.l.space.low() {
		return
	}
	d := c.deleted
	c.b.after = append(c.b.after, func(failed error) {
		if failed == nil {
			select {
			case c.l.deleted <- d:
			default: // a compaction is going on, and another waits
			}
		}
	})
	c.deleted = deleted{}
}

func (l *Log) reclaimLoop() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-l.closing
		cancel()
	}()
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			l.inst.Load().frugal.grant()
		case d := <-l.deleted:
			in := l.inst.Load()
			in.frugal.reclaiming.Store(true)
			for number, through := range d.through {
				_, _ = in.use(func() error { return in.db.Compact(ctx, messageKey(number, 0), messageKey(number, through), false) })
			}
			in.frugal.reclaiming.Store(false)
		}
	}
}
