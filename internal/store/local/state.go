package local

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// state is what a channel's log is at one moment. The committer has its own, as of what it has prepared; readers get the one
// that was made durable last.
type state struct {
	number   uint64 // the channel number: the offset of its first message, so never used twice; 0: the channel is unknown
	last     uint64 // offset of the newest message
	floor    uint64 // messages up to here are removed; what is kept lies in (floor, last]
	gone     uint64 // messages up to here are deleted from disk too; gone <= floor
	count    uint64 // messages kept
	bytes    uint64 // their Message.Size
	lastTime int64  // when the newest message was taken, in Unix milliseconds
	oldest   int64  // no message kept is older than this; a lower bound
	age      int64  // Retention.Age when the channel was appended to last, in milliseconds, for the sweeper
}

const stateVersion = 1

var errBadState = errors.New("the head of a channel does not decode")

func (s state) append(b []byte) []byte {
	start := len(b)
	b = append(b, stateVersion)
	for _, n := range [...]uint64{s.number, s.last, s.floor, s.gone, s.count, s.bytes, uint64(s.lastTime), uint64(s.oldest), uint64(s.age)} {
		b = binary.AppendUvarint(b, n)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseState(b []byte) (s state, err error) {
	if len(b) < 5 || b[0] != stateVersion {
		return s, errBadState
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[len(body):]) {
		return s, errBadState
	}
	body = body[1:]
	var n [9]uint64
	for i := range n {
		v, l := binary.Uvarint(body)
		if l <= 0 {
			return s, errBadState
		}
		n[i], body = v, body[l:]
	}
	if len(body) != 0 {
		return s, errBadState
	}
	return state{n[0], n[1], n[2], n[3], n[4], n[5], int64(n[6]), int64(n[7]), int64(n[8])}, nil
}
