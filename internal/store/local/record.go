package local

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/snoserver/sno/internal/hub"
)

// A record is a message as it is stored:
//
//	version 1 | flags 1 | size 4 | time 8 | prev 8 | CRC-32C 4 | id | event | client | exclude | headers | data
//
// Integers are little-endian, texts have a uvarint length before them, data is the rest. The checksum is over the channel
// number, the offset and all else: Pebble checks its blocks when it reads them from disk, this also finds a bit that flipped in memory,
// in a memtable or the block cache, and a record that turns up under a key that is not its own.
// Size is Message.Size, so that retention can be counted without decoding.
const (
	recordVersion = 1
	recordHeader  = 26
	crcAt         = 22
)

const (
	flagOwnID = 1 << iota
	flagBinary
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func uvarintLen(n int) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

func textLen(s string) int { return uvarintLen(len(s)) + len(s) }

// recordLen is exactly how long putRecord's record is.
func recordLen(m *hub.Message) int {
	n := recordHeader + textLen(m.Event) + textLen(m.Client) + textLen(m.Exclude) + uvarintLen(len(m.Headers)) + len(m.Data)
	if m.OwnID {
		n++
	} else {
		n += textLen(m.ID)
	}
	for k, v := range m.Headers {
		n += textLen(k) + textLen(v)
	}
	return n
}

func putText(b []byte, s string) []byte {
	n := binary.PutUvarint(b, uint64(len(s)))
	copy(b[n:], s)
	return b[n+len(s):]
}

// putRecord writes a message that has its position into b, which has recordLen bytes.
func putRecord(b []byte, number uint64, m *hub.Message, size int) {
	b[0], b[1] = recordVersion, 0
	id := m.ID
	if m.OwnID {
		b[1] |= flagOwnID
		id = "" // it is made from the position again
	}
	if m.Binary {
		b[1] |= flagBinary
	}
	binary.LittleEndian.PutUint32(b[2:], uint32(size))
	binary.LittleEndian.PutUint64(b[6:], uint64(m.Time))
	binary.LittleEndian.PutUint64(b[14:], m.Prev)
	rest := putText(b[recordHeader:], id)
	rest = putText(rest, m.Event)
	rest = putText(rest, m.Client)
	rest = putText(rest, m.Exclude)
	rest = rest[binary.PutUvarint(rest, uint64(len(m.Headers))):]
	for _, k := range sortedKeys(m.Headers) {
		rest = putText(putText(rest, k), m.Headers[k])
	}
	copy(rest, m.Data)
	binary.LittleEndian.PutUint32(b[crcAt:], recordChecksum(b, number, m.Offset))
}

func sortedKeys(m map[string]string) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func recordChecksum(b []byte, number, offset uint64) uint32 {
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], number)
	binary.LittleEndian.PutUint64(key[8:], offset)
	sum := crc32.Update(0, castagnoli, key[:])
	sum = crc32.Update(sum, castagnoli, b[:crcAt])
	return crc32.Update(sum, castagnoli, b[recordHeader:])
}

// brief is what retention needs to know of a record.
type brief struct {
	size  int
	time  int64
	prev  uint64
	hasID bool // the publisher gave an id, and hash is its
	hash  idHash
}

func parseBrief(b []byte, wantID bool) (r brief, ok bool) {
	if len(b) < recordHeader || b[0] != recordVersion {
		return r, false
	}
	r.size = int(binary.LittleEndian.Uint32(b[2:]))
	r.time = int64(binary.LittleEndian.Uint64(b[6:]))
	r.prev = binary.LittleEndian.Uint64(b[14:])
	if wantID && b[1]&flagOwnID == 0 {
		n, l := binary.Uvarint(b[recordHeader:])
		if l <= 0 || n > uint64(len(b)-recordHeader-l) {
			return r, false
		}
		sum := sha256.Sum256(b[recordHeader+l : recordHeader+l+int(n)])
		copy(r.hash[:], sum[:])
		r.hasID = true
	}
	return r, true
}

func cutText(s string) (text, rest string) {
	n, l := uvarint(s)
	if l <= 0 || n > uint64(len(s)-l) {
		return "", ""
	}
	return s[l : l+int(n)], s[l+int(n):]
}

// uvarint is binary.Uvarint for strings; l is 0 when there is no canonical number that an int holds.
func uvarint(s string) (n uint64, l int) {
	for i := 0; i < len(s) && i < 5; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			if s[i] == 0 && i > 0 {
				return 0, 0
			}
			return n, i + 1
		}
	}
	return 0, 0
}

// parseRecord is the inverse of putRecord. The message shares nothing with b. Its channel, epoch and own id are the caller's to fill in.
func parseRecord(b []byte, number, offset uint64) (*hub.Message, bool) {
	if len(b) < recordHeader || b[0] != recordVersion || b[1]&^(flagOwnID|flagBinary) != 0 {
		return nil, false
	}
	if binary.LittleEndian.Uint32(b[crcAt:]) != recordChecksum(b, number, offset) {
		return nil, false
	}
	m := &hub.Message{
		OwnID:  b[1]&flagOwnID != 0,
		Binary: b[1]&flagBinary != 0,
		Time:   int64(binary.LittleEndian.Uint64(b[6:])),
		Prev:   binary.LittleEndian.Uint64(b[14:]),
		Offset: offset,
	}
	texts := textsLen(b[recordHeader:])
	if texts < 0 {
		return nil, false
	}
	s := string(b[recordHeader : recordHeader+texts])
	m.ID, s = cutText(s)
	m.Event, s = cutText(s)
	m.Client, s = cutText(s)
	m.Exclude, s = cutText(s)
	n, l := uvarint(s)
	s = s[l:]
	if n > 0 {
		m.Headers = make(map[string]string, n)
	}
	for range n {
		var k, v string
		k, s = cutText(s)
		v, s = cutText(s)
		m.Headers[k] = v
	}
	if uint64(len(m.Headers)) != n || m.OwnID && m.ID != "" {
		return nil, false
	}
	m.Data = append(make([]byte, 0, len(b)-recordHeader-texts), b[recordHeader+texts:]...)
	return m, true
}

// textsLen is how many bytes the texts of a record take before its data, or -1 when they do not parse.
func textsLen(b []byte) int {
	at := 0
	skip := func() bool {
		n, l := binary.Uvarint(b[at:])
		if l <= 0 || l > 5 || l > 1 && b[at+l-1] == 0 || n > uint64(len(b)-at-l) {
			return false
		}
		at += l + int(n)
		return true
	}
	for range 4 {
		if !skip() {
			return -1
		}
	}
	n, l := binary.Uvarint(b[at:])
	if l <= 0 || l > 5 || l > 1 && b[at+l-1] == 0 || n > uint64(len(b)-at) {
		return -1
	}
	at += l
	for range 2 * n {
		if !skip() {
			return -1
		}
	}
	return at
}
