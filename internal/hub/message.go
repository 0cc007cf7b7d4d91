package hub

import (
	"strconv"
	"sync/atomic"
	"time"
)

// MaxOffset is the largest offset a log may assign: offsets are exact as JavaScript numbers.
const MaxOffset = 1<<53 - 1

// Channel names a log: the app that owns it and the name it has there. Names of two apps never meet.
// It is comparable and is the key of every table in the server.
type Channel struct {
	App  string
	Name string
}

// String is for logs and error texts.
func (c Channel) String() string { return c.App + "/" + c.Name }

// Position is a place in a channel's log: just behind the message with that offset.
// Offset 0 is before every message. Two positions compare only when their epochs are equal.
type Position struct {
	Epoch  string
	Offset uint64
}

// String gives "epoch:offset", as the command line and error texts show it.
func (p Position) String() string { return p.Epoch + ":" + strconv.FormatUint(p.Offset, 10) }

// Message is one entry of a channel's log. Once given to Hub.Publish nobody changes it any more:
// it is shared by the log, the tail and every session that delivers it.
type Message struct {
	Channel Channel
	// ID is the publisher's, or ours where the publisher gave none. At most MaxIDBytes.
	ID string
	// OwnID says that we made the ID: nobody can repeat it, so logs need not remember it.
	OwnID bool
	// Event is the message's name, as the publisher chose it; may be empty.
	Event string
	// Data is one JSON value byte for byte as it was published, or any bytes when Binary.
	Data   []byte
	Binary bool
	// Headers are small strings that travel with the message.
	Headers map[string]string
	// Client is the client id of the publisher's grant; empty for a backend.
	Client string
	// Exclude is the id of a session that is not sent this message, only told its position.
	Exclude string
	// Ephemeral messages have no position and are never stored.
	Ephemeral bool

	// Time is when the log took the message, in Unix milliseconds. It never decreases within a log.
	Time int64
	// Epoch and Offset are the message's position. Prev is the offset of the message before it in the channel, 0 for the first:
	// a reader at Prev that gets this message has missed nothing. Where the log no longer knows whether
	// there was a message before, Prev is an upper bound, so a reader that may have missed one sees a gap.
	Epoch  string
	Offset uint64
	Prev   uint64

	accepted instant // when it was published here; 0: elsewhere, or before the process began
	encoded  [formats]atomic.Pointer[[]byte]
}

// Position returns where a reader stands that has got m.
func (m *Message) Position() Position { return Position{m.Epoch, m.Offset} }

// When returns Time as a time.Time in UTC.
func (m *Message) When() time.Time { return time.UnixMilli(m.Time).UTC() }

// messageOverhead is what a message costs in memory besides its bytes: the struct, its slot in a ring, map headers.
const messageOverhead = 256

// Size is about what m costs in memory, in bytes. Limits in bytes count this.
func (m *Message) Size() int {
	n := messageOverhead + len(m.ID) + len(m.Event) + len(m.Data) + len(m.Client)
	for k, v := range m.Headers {
		n += len(k) + len(v)
	}
	return n
}

// Format numbers a wire format in which messages are encoded once and shared by all its sessions.
// Every protocol package takes one of these.
type Format uint8

// The formats there are. A new protocol that encodes messages in its own way adds a line.
const (
	FormatNative      Format = iota // messages as they come over WebSocket
	FormatNativeLines               // and as lines
	FormatPusher                    // messages as events of Pusher's protocol
	formats           = iota
)

// Encoded returns m in format f, calling encode at most a few times in the message's life (once, but for
// races) whatever the number of sessions. The bytes are shared: nobody may change them.
func (m *Message) Encoded(f Format, encode func(*Message) []byte) []byte {
	if b := m.encoded[f].Load(); b != nil {
		return *b
	}
	b := encode(m)
	m.encoded[f].Store(&b)
	return b
}
