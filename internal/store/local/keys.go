package local

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/snoserver/sno/internal/hub"
)

// Keys begin with a byte that says what they are. A channel is named once, in its head; everything else goes by its channel number.
const (
	kindHead    = 'h' // h <app, escaped> 00 01 <channel>          -> head
	kindID      = 'i' // i <channel number> <16 bytes of SHA-256>  -> position of the first message with that id
	kindMessage = 'm' // m <channel number> <offset>               -> record
	kindMeta    = 's' // s <name>                                  -> see meta.go
	kindStale   = 'x' // x <time> <channel number> <hash>          -> offset: an id that outlives its message for a while
)

const (
	messagePrefix = 1 + 8
	messageKeyLen = messagePrefix + 8
	idKeyLen      = 1 + 8 + len(idHash{})
	staleKeyLen   = 1 + 8 + 8 + len(idHash{})
)

// idHash stands for a message id in keys and tables, so that a long id costs no more than a short one.
type idHash [16]byte

func hashID(id string) (h idHash) {
	sum := sha256.Sum256([]byte(id))
	copy(h[:], sum[:])
	return h
}

// appendHeadKey encodes a channel's names one-to-one: a zero byte in the app becomes 00 ff, and 00 01 ends it, so that no
// app's keys begin with another's; the channel name comes last and needs no escape.
func appendHeadKey(b []byte, ch hub.Channel) []byte {
	b = append(b, kindHead)
	for i := range len(ch.App) {
		if b = append(b, ch.App[i]); ch.App[i] == 0 {
			b = append(b, 0xff)
		}
	}
	b = append(b, 0, 1)
	return append(b, ch.Name...)
}

// parseHeadKey is the inverse of appendHeadKey; ok is false for anything that it does not make.
func parseHeadKey(b []byte) (ch hub.Channel, ok bool) {
	if len(b) == 0 || b[0] != kindHead {
		return ch, false
	}
	b = b[1:]
	var app []byte
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 || i+1 >= len(b) {
			return ch, false
		}
		app = append(app, b[:i]...)
		mark := b[i+1]
		b = b[i+2:]
		switch mark {
		case 1:
			return hub.Channel{App: string(app), Name: string(b)}, true
		case 0xff:
			app = append(app, 0)
		default:
			return ch, false
		}
	}
}

func putMessageKey(b []byte, number, offset uint64) {
	b[0] = kindMessage
	binary.BigEndian.PutUint64(b[1:], number)
	binary.BigEndian.PutUint64(b[9:], offset)
}

func messageKey(number, offset uint64) []byte {
	b := make([]byte, messageKeyLen)
	putMessageKey(b, number, offset)
	return b
}

// parseMessageKey returns the offset of a message key of any channel.
func parseMessageKey(b []byte) (number, offset uint64, ok bool) {
	if len(b) != messageKeyLen || b[0] != kindMessage {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:]), true
}

func appendIDKey(b []byte, number uint64, h idHash) []byte {
	b = append(b, kindID)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, h[:]...)
}

func appendStaleKey(b []byte, at int64, number uint64, h idHash) []byte {
	b = append(b, kindStale)
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, h[:]...)
}

func parseStaleKey(b []byte) (at int64, number uint64, h idHash, ok bool) {
	if len(b) != staleKeyLen || b[0] != kindStale {
		return 0, 0, h, false
	}
	copy(h[:], b[17:])
	return int64(binary.BigEndian.Uint64(b[1:])), binary.BigEndian.Uint64(b[9:]), h, true
}

// split is the part of a key that bloom filters are made of: a message's channel, so that reading a channel on from a cursor
// skips the tables that hold nothing of it; the whole of every other key.
func split(key []byte) int {
	if len(key) > messagePrefix && key[0] == kindMessage {
		return messagePrefix
	}
	return len(key)
}

// comparer orders keys bytewise. Its name is written into the store: another order needs another name.
var comparer = func() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Split = split
	c.Name = "sno.bytewise.1"
	return &c
}()

func appendOffset(b []byte, offset uint64) []byte { return binary.BigEndian.AppendUint64(b, offset) }
