package hub

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
)

// Limits of a cursor token.
const (
	// MaxTokenChannels is how many channels one cursor token can hold.
	MaxTokenChannels = 1024
	maxTokenBytes    = 1 << 20
	tokenVersion     = 2
)

// Cursor is where a client is in one channel.
type Cursor struct {
	Position
	// Presence says that the client follows the channel's members too, and has them as of Version; 0: it has none yet.
	Presence bool
	Version  uint64
}

// Cursors are where a client is in a set of channels of one app, by name in ascending order. A slice, because each stream keeps one: a map of a single channel takes some 500 bytes.
type Cursors []ChannelCursor

// ChannelCursor is where a client is in the channel of that name.
type ChannelCursor struct {
	Channel string
	Cursor
}

// Of returns the cursor in a channel, or nil. It is there until the next Put or Remove.
func (c Cursors) Of(channel string) *Cursor {
	if i, there := c.find(channel); there {
		return &c[i].Cursor
	}
	return nil
}

// Put adds the cursor in a channel, or replaces it.
func (c *Cursors) Put(channel string, at Cursor) {
	i, there := c.find(channel)
	if !there {
		*c = slices.Insert(*c, i, ChannelCursor{Channel: channel})
	}
	(*c)[i].Cursor = at
}

// Remove takes the cursor in a channel away, if there is one.
func (c *Cursors) Remove(channel string) {
	if i, there := c.find(channel); there {
		*c = slices.Delete(*c, i, i+1)
	}
}

func (c Cursors) find(channel string) (i int, there bool) {
	return slices.BinarySearchFunc(c, channel, func(at ChannelCursor, channel string) int { return strings.Compare(at.Channel, channel) })
}

// EncodeCursors makes one cursor token. It is opaque to clients, safe in URLs and headers, and the same for the same cursors. It carries no authority: what it names is authorised when it is used.
func EncodeCursors(cursors Cursors) (string, error) {
	if len(cursors) > MaxTokenChannels {
		return "", Errorf(CodeLimit, "a cursor token holds at most %d channels, not %d; use several", MaxTokenChannels, len(cursors))
	}
	epochs := make([]string, 0, 1)
	number := map[string]uint64{}
	for _, at := range cursors {
		if _, ok := number[at.Epoch]; !ok {
			number[at.Epoch] = uint64(len(epochs))
			epochs = append(epochs, at.Epoch)
		}
	}
	b := []byte{tokenVersion}
	b = binary.AppendUvarint(b, uint64(len(epochs)))
	for _, e := range epochs {
		b = appendString(b, e)
	}
	b = binary.AppendUvarint(b, uint64(len(cursors)))
	for _, at := range cursors {
		b = appendString(b, at.Channel)
		b = binary.AppendUvarint(b, number[at.Epoch])
		b = binary.AppendUvarint(b, at.Offset)
		b = binary.AppendUvarint(b, at.members())
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// members is what a token says of presence: 0 for a cursor without, else one more than the version.
func (c Cursor) members() uint64 {
	if !c.Presence {
		return 0
	}
	return c.Version + 1
}

// DecodeCursors reads a cursor token. The error is a *Error.
func DecodeCursors(token string) (Cursors, error) {
	bad := Errorf(CodeBadRequest, "this is not a cursor token of this server; start without one")
	if len(token) > maxTokenBytes {
		return nil, Errorf(CodeBadRequest, "a cursor token has at most %d bytes, not %d", maxTokenBytes, len(token))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < 5 || b[0] != tokenVersion {
		return nil, bad
	}
	sum := binary.LittleEndian.Uint32(b[len(b)-4:])
	if b = b[:len(b)-4]; crc32.ChecksumIEEE(b) != sum {
		return nil, bad
	}
	r := tokenReader{b: b[1:]}
	epochs := make([]string, r.count())
	for i := range epochs {
		epochs[i] = r.string()
	}
	n := r.count()
	cursors := make(Cursors, 0, n)
	for range n {
		name, epoch, offset, members := r.string(), r.uvarint(), r.uvarint(), r.uvarint()
		if r.failed || epoch >= uint64(len(epochs)) || offset > MaxOffset || len(cursors) > 0 && cursors[len(cursors)-1].Channel >= name {
			return nil, bad
		}
		c := Cursor{Position: Position{epochs[epoch], offset}}
		if members > 0 {
			c.Presence, c.Version = true, members-1
		}
		cursors = append(cursors, ChannelCursor{name, c})
	}
	if r.failed || len(r.b) > 0 {
		return nil, bad
	}
	return cursors, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// tokenReader reads the parts of a token; after the first that is not there, failed is set and every part is empty.
type tokenReader struct {
	b      []byte
	failed bool
}

func (r *tokenReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *tokenReader) count() int {
	n := r.uvarint()
	if n > MaxTokenChannels || n > uint64(len(r.b)) {
		r.failed, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *tokenReader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.failed, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
