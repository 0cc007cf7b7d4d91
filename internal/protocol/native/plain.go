package native

import (
	"bytes"
	"encoding/json"
	"strings"
)

// maxPlainDepth is how deep a value may be nested that is read here; encoding/json reads deeper ones.
const maxPlainDepth = 64

// decodePlain reads a frame as nearly all are: keys that need no table, texts without escapes. It is false for every other, valid or not, which encoding/json then reads and
// explains; of those it reads it makes the same, in a quarter of the time.
func decodePlain(b []byte, f *frame) bool {
	p := plain{b: b}
	if !p.members(f) || p.next() != 0 {
		*f = frame{}
		return false
	}
	return true
}

// splitPlain is splitFrames for an array of plain values. The frames are parts of msg.
func splitPlain(msg []byte) (frames []json.RawMessage, ok bool) {
	p := plain{b: msg}
	if !p.take('[') {
		return nil, false
	}
	for {
		p.next()
		from := p.i
		if !p.value(maxPlainDepth) {
			return nil, false
		}
		frames = append(frames, msg[from:p.i:p.i])
		if !p.take(',') {
			return frames, p.take(']') && p.next() == 0
		}
	}
}

// plain reads JSON (RFC 8259) from the front. Its methods are false at what is not plain or not JSON, and then are done.
type plain struct {
	b []byte
	i int
}

// next is the next byte that is not white space, which stays; 0: the end.
func (p *plain) next() byte {
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (p *plain) take(c byte) bool {
	if p.next() != c {
		return false
	}
	p.i++
	return true
}

// members reads the object that is a frame.
func (p *plain) members(f *frame) bool {
	if !p.take('{') {
		return false
	}
	for {
		key, ok := p.text()
		if !ok || !p.take(':') || !p.member(f, key) {
			return false
		}
		if !p.take(',') {
			return p.take('}')
		}
	}
}

func (p *plain) member(f *frame, key []byte) bool {
	switch string(key) {
	case "type":
		return p.word(&f.Type)
	case "channel":
		return p.string(&f.Channel)
	case "event":
		return p.string(&f.Event)
	case "id":
		return p.string(&f.ID)
	case "ref":
		return p.raw(&f.Ref)
	case "data":
		return p.raw(&f.Data)
	case "presence":
		return p.bool(&f.Presence)
	case "ephemeral":
		return p.bool(&f.Ephemeral)
	case "ordered":
		return p.bool(&f.Ordered)
	}
	return false
}

// text reads a string without escapes. It is a part of b.
func (p *plain) text() ([]byte, bool) {
	if !p.take('"') {
		return nil, false
	}
	from := p.i
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return p.b[from : p.i-1], true
		case c == '\\', c < ' ':
			return nil, false
		}
	}
	return nil, false
}

func (p *plain) string(to *string) bool {
	text, ok := p.text()
	*to = string(text)
	return ok
}

// word is string for what is usually one of few.
func (p *plain) word(to *string) bool {
	text, ok := p.text()
	switch string(text) {
	case "publish":
		*to = "publish"
	case "subscribe":
		*to = "subscribe"
	default:
		*to = string(text)
	}
	return ok
}

func (p *plain) bool(to *bool) bool {
	c := p.next()
	*to = c == 't'
	return (c == 't' || c == 'f') && p.value(0)
}

func (p *plain) raw(to *json.RawMessage) bool {
	p.next()
	from := p.i
	ok := p.value(maxPlainDepth)
	*to = bytes.Clone(p.b[from:p.i])
	return ok
}

// value passes over one value that is nested at most so deep.
func (p *plain) value(depth int) bool {
	switch c := p.next(); c {
	case '"':
		return p.anyText()
	case '{', '[':
		return depth > 0 && p.nested(c, depth)
	case 't':
		return p.literal("true")
	case 'f':
		return p.literal("false")
	case 'n':
		return p.literal("null")
	}
	return p.number()
}

// nested passes over an object or an array.
func (p *plain) nested(open byte, depth int) bool {
	p.i++
	end := open + 2 // in ASCII, for both
	if p.take(end) {
		return true
	}
	for {
		if open == '{' && (p.next() != '"' || !p.anyText() || !p.take(':')) || !p.value(depth-1) {
			return false
		}
		if !p.take(',') {
			return p.take(end)
		}
	}
}

// anyText passes over a string.
func (p *plain) anyText() bool {
	for p.i++; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return true
		case c < ' ':
			return false
		case c == '\\':
			if p.i++; p.i == len(p.b) || !p.escape(p.b[p.i]) {
				return false
			}
		}
	}
	return false
}

// escape passes over what follows a backslash, up to its last byte.
func (p *plain) escape(c byte) bool {
	if c != 'u' {
		return strings.IndexByte(`"\/bfnrt`, c) >= 0
	}
	for range 4 {
		if p.i++; p.i == len(p.b) || strings.IndexByte("0123456789abcdefABCDEF", p.b[p.i]) < 0 {
			return false
		}
	}
	return true
}

func (p *plain) literal(word string) bool {
	if !bytes.HasPrefix(p.b[p.i:], []byte(word)) {
		return false
	}
	p.i += len(word)
	return true
}

func (p *plain) number() bool {
	p.one('-')
	if !p.one('0') && !p.digits() {
		return false
	}
	if p.one('.') && !p.digits() {
		return false
	}
	if p.one('e') || p.one('E') {
		if !p.one('+') {
			p.one('-')
		}
		return p.digits()
	}
	return true
}

func (p *plain) one(c byte) bool {
	if p.i == len(p.b) || p.b[p.i] != c {
		return false
	}
	p.i++
	return true
}

func (p *plain) digits() bool {
	from := p.i
	for p.i < len(p.b) && '0' <= p.b[p.i] && p.b[p.i] <= '9' {
		p.i++
	}
	return p.i > from
}
