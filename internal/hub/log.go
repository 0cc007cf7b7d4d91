package hub

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Log keeps the messages of channels. An implementation passes storetest.Run.
//
// Offsets increase strictly within a channel and are not dense. An implementation may number all channels
// from one sequence (a local disk does) or per partition. A session merges its channels by offset, so it sees them in the order of publication
// only as far as one sequence reaches.
type Log interface {
	// Append stores messages in the order given, and calls done once with one result per entry, from a goroutine of the log: done must
	// not block. Appends that come one after the other from one goroutine keep their order in each channel.
	// An entry without an error is durable as the log was configured, and has been given to the Sink before done is called. Entries
	// succeed or fail each on its own. Append does not wait for the disk; it fails with CodeOverloaded rather than queue without bound.
	Append(entries []Entry, done func([]Result))
	// Read returns a page of a channel, oldest message first, and where the channel ends, as one consistent view.
	// It never returns a message that is not yet durable, so never one that could still be lost or change its place.
	Read(ctx context.Context, ch Channel, q Query) (Page, error)
	// Head returns the position of the channel's newest message. For a channel without messages it is a position that
	// every message yet to come will be after. It is never behind what the Sink was given.
	Head(ctx context.Context, ch Channel, keep Retention) (Position, error)
	// Trim removes the messages of a channel up to and including an offset. Cursors before it get ResetExpired.
	Trim(ctx context.Context, ch Channel, through uint64) error
	// Close stores what was accepted and releases everything. Later calls fail with CodeUnavailable.
	Close() error
}

// Checker is a Log that knows whether it can store messages.
type Checker interface {
	// Check returns the error that an append would meet just now, or nil. It does not wait for the disk to work again.
	Check() error
}

// Sink takes what a Log has made durable. The hub is one; a log is given its sink when it is opened.
type Sink interface {
	// Deliver hands over messages in log order, in a slice that is the sink's from then on. Calls of one log do not overlap. Deliver is fast: it appends
	// to tails and returns.
	Deliver(batch []*Message)
	// Resync says that messages may have become durable that were not given to Deliver (the log was reopened after a
	// failed fsync, a follower has lost its stream): every tail starts again from the log.
	Resync()
}

// Store says where a channel's messages are kept.
type Store uint8

const (
	// StoreDisk keeps messages through restarts and, with sync = always, power loss.
	StoreDisk Store = iota
	// StoreMemory keeps messages until the process ends; the next process has another epoch.
	StoreMemory
	// StoreNone gives messages positions and keeps none: a reader gets what comes while it is there.
	StoreNone
)

// Retention says where and how much of a channel is kept. The zero value keeps everything on disk.
// A message is removed as soon as one of the bounds is passed, the oldest first.
type Retention struct {
	Store    Store
	Messages int           // at most so many messages; 0: no bound
	Age      time.Duration // none older than this; 0: no bound
	Bytes    int64         // at most so many bytes, as counted by Message.Size, but always the newest message; 0: no bound
}

// Entry is one message to append.
type Entry struct {
	// Message belongs to the log from now on: it sets Time, Epoch, Offset and Prev (and ID when OwnID), then nobody changes it.
	Message *Message
	Keep    Retention
	// Expect, if set, is where the channel's newest message must be, or the entry fails with CodeConflict.
	// A repeated id is answered with its first position before Expect is looked at, so a retry is safe.
	Expect *Position
	// Order, if set, ties the entry to those appended before it with the same Order: once one of them has failed in a way that
	// Retryable reports, the log breaks the Order, and entries of a broken Order fail with CodeOutOfOrder.
	Order *Order
}

// Order is what keeps the messages of one publisher in order through a retry: without it a message that was refused for a moment (overload, a full disk,
// a failed write) and sent again would land behind those that the publisher had sent after it.
type Order struct{ broken atomic.Bool }

// Break makes all entries that come after fail.
func (o *Order) Break() {
	if o != nil {
		o.broken.Store(true)
	}
}

// Check returns why an entry may not be stored, or nil. A nil Order is never broken.
func (o *Order) Check() error {
	if o == nil || !o.broken.Load() {
		return nil
	}
	return Errorf(CodeOutOfOrder, "a message that was published before this one on the same connection could not be stored; nothing was stored: publish that one again, and then this one")
}

// Retryable reports whether the same message may be stored if it is published again.
func Retryable(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == CodeOverloaded || e.Code == CodeUnavailable || e.Code == CodeDiskFull || e.Code == CodeOutOfOrder)
}

// Result says what became of an Entry.
type Result struct {
	// ID, Position and Prev are the message's, or those of the first message with the same id when Duplicate.
	ID        string
	Position  Position
	Prev      uint64
	Duplicate bool
	// Err is a *Error: conflict, overloaded, unavailable, disk full. With CodeUnavailable the message may or may not have been stored;
	// sending it again with the same id is safe.
	Err error
}

// Query selects a page. At most one of After, Before, Last and Since is set; with none, the page begins at the oldest message kept.
type Query struct {
	After  *Position // messages after a cursor
	Before uint64    // the newest messages below this offset
	Last   int       // the newest so many messages
	Since  time.Time // messages taken at or after this time
	// Limit is the most messages to return, at least 1. With Before the page ends at Before; otherwise it begins where asked.
	Limit int
	// Bytes bounds the page by Message.Size, but it always holds a message if there is one; 0: no bound.
	Bytes int
	Keep  Retention
}

// Page is what Read returns.
type Page struct {
	// Messages are in log order.
	Messages []*Message
	// Start is the position from which the page reads on: a reader at Start that gets Messages has missed nothing since Start.
	// It is the cursor of Query.After unless Reset moved it.
	Start Position
	// Reset says why the cursor of Query.After could not be honoured; otherwise empty. Reading goes on at Start:
	// with ResetExpired and ResetEpoch before the oldest message that the cursor has not seen, with ResetAhead at Head.
	Reset Reset
	// Head is the channel's newest position when the page was read, as from Log.Head.
	Head Position
	// More says that messages are kept beyond the page in its direction (older ones for Before, newer ones otherwise).
	More bool
}

// Reset is the reason why a cursor could not be honoured.
type Reset string

const (
	// ResetExpired says that messages after the cursor have been removed by retention.
	ResetExpired Reset = "expired"
	// ResetEpoch says that the cursor is from a log that has since lost its past.
	ResetEpoch Reset = "epoch_changed"
	// ResetAhead says that the cursor is behind the newest message of the log.
	ResetAhead Reset = "ahead"
)

// Honour decides whether a cursor in the current epoch of a log can be read on from: first is the oldest message kept after it (nil: none)
// and head the channel's newest offset. Logs and tails ask this one function, so that they agree.
func Honour(offset uint64, first *Message, head uint64) Reset {
	switch {
	case offset > head:
		return ResetAhead
	case first == nil && offset < head, first != nil && first.Prev > offset:
		return ResetExpired
	}
	return ""
}
