package websocket

import (
	"encoding/binary"
	"unicode/utf8"
)

// maxHeader is the longest header of a frame (RFC 6455 §5.2).
const maxHeader = 14

// appendHeader appends the header of a server's frame of n bytes.
func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, first, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
}

// appendClose appends a close frame.
func appendClose(dst []byte, c *closing) []byte {
	if c.code == 0 {
		return appendHeader(dst, bitFinal|opClose, 0)
	}
	reason := clip(c.reason)
	dst = appendHeader(dst, bitFinal|opClose, 2+len(reason))
	return append(binary.BigEndian.AppendUint16(dst, uint16(c.code)), reason...)
}

// clip cuts a close reason to what a control frame can hold (RFC 6455 §5.5: 125 bytes with the code).
func clip(reason string) string {
	const most = 123
	if len(reason) <= most {
		return reason
	}
	n := most
	for n > 0 && !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// appendUnmasked appends b without its mask, whose next byte is at pos. (RFC 6455 §5.3)
func appendUnmasked(dst, b []byte, mask [4]byte, pos int) []byte {
	at := len(dst)
	dst = append(dst, b...)
	b = dst[at:]
	for len(b) > 0 && pos&3 != 0 {
		b[0] ^= mask[pos&3]
		b = b[1:]
		pos++
	}
	word := uint64(binary.LittleEndian.Uint32(mask[:]))
	word |= word << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= mask[i&3]
	}
	return dst
}
