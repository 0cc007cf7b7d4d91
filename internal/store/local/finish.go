package local

import (
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// finish waits for the disk, batch by batch in log order: then what the batch did is visible to readers, the sink gets its messages, and
// only then its publishers are answered.
func (l *Log) finish(in <-chan *batch, free chan<- *batch) {
	for b := range in {
		failed := l.await(b)
		for i := range b.touched {
			b.touched[i].h.settle(b.touched[i].st, failed == nil)
		}
		l.settle(b, failed)
		if len(b.msgs) > 0 {
			l.o.Sink.Deliver(b.msgs)
		}
		for i := range b.items {
			if it := &b.items[i]; it.i == len(it.req.entries)-1 {
				l.queue.release(it.req.bytes)
				it.req.done(it.req.results)
			}
		}
		for _, f := range b.after {
			f(failed)
		}
		b.reset()
		select {
		case free <- b:
		default:
		}
	}
}

// await returns nil once what the batch has for the disk is as durable as it is to be.
func (l *Log) await(b *batch) error {
	if b.in == nil {
		return nil
	}
	if b.pb != nil {
		if err := b.pb.SyncWait(); err != nil {
			b.in.fence.fail(err)
		}
		b.pb.Close()
	}
	// Asked after the sync: the fence closes before a sync that failed returns.
	failed := b.in.fence.failed()
	if b.stored > 0 && failed == nil {
		l.o.Committed(b.stored, time.Since(b.sealed))
	}
	return failed
}

// settle makes the messages of a batch visible or turns their results into the error.
func (l *Log) settle(b *batch, failed error) {
	b.msgs = make([]*hub.Message, 0, len(b.items)) // the sink may keep it
	for i := range b.items {
		it := &b.items[i]
		res := &it.req.results[it.i]
		switch {
		case it.disk && failed != nil && res.Err == nil:
			*res = hub.Result{Err: l.unavailable(failed)}
			it.req.entries[it.i].Order.Break()
		case it.mem != nil:
			l.memory[it.req.entries[it.i].Keep.Store].settle(it.mem, it.msg, it.req.hashes[it.i])
			b.msgs = append(b.msgs, it.msg)
		case it.msg != nil:
			b.msgs = append(b.msgs, it.msg)
		}
	}
	if failed == nil && b.last > 0 {
		l.acked.Store(b.last)
	}
}
