package messagejson

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
)

// Append appends m as one JSON object. m.Data must be one valid JSON value (nil stands for null) unless m.Binary.
func Append(dst []byte, m *hub.Message) []byte {
	return append(AppendFields(append(dst, '{'), m), '}')
}

// AppendFields appends the members of m's JSON object without its braces, for a frame that has members of its own before or
// after them. It appends at least "channel", so what stands before it ends with a comma.
func AppendFields(dst []byte, m *hub.Message) []byte {
	dst = AppendString(append(dst, `"channel":`...), m.Channel.Name)
	dst = AppendString(append(dst, `,"id":`...), m.ID)
	if m.Event != "" {
		dst = AppendString(append(dst, `,"event":`...), m.Event)
	}
	dst = appendData(dst, m)
	if len(m.Headers) > 0 {
		dst = appendHeaders(append(dst, `,"headers":`...), m.Headers)
	}
	if m.Client != "" {
		dst = AppendString(append(dst, `,"client":`...), m.Client)
	}
	dst = strconv.AppendInt(append(dst, `,"time":`...), m.Time, 10)
	if m.Ephemeral {
		return append(dst, `,"ephemeral":true`...)
	}
	dst = AppendPosition(append(dst, ','), m.Position())
	return strconv.AppendUint(append(dst, `,"prev":`...), m.Prev, 10)
}

// AppendPosition appends the members "epoch" and "offset", without braces.
func AppendPosition(dst []byte, p hub.Position) []byte {
	dst = AppendString(append(dst, `"epoch":`...), p.Epoch)
	return strconv.AppendUint(append(dst, `,"offset":`...), p.Offset, 10)
}

func appendData(dst []byte, m *hub.Message) []byte {
	switch {
	case m.Binary:
		dst = append(dst, `,"base64":"`...)
		return append(base64.StdEncoding.AppendEncode(dst, m.Data), '"')
	case len(m.Data) == 0:
		return append(dst, `,"data":null`...)
	default:
		return append(append(dst, `,"data":`...), m.Data...)
	}
}

func appendHeaders(dst []byte, headers map[string]string) []byte {
	sep := byte('{')
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		dst = AppendString(append(dst, sep), name)
		dst = AppendString(append(dst, ':'), headers[name])
		sep = ','
	}
	return append(dst, '}')
}

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string (RFC 8259 §7). Only what must be escaped is, and what is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0 // s[:done] is in dst
	for i := 0; i < len(s); {
		size := plain(s[i:])
		if size > 0 {
			i += size
			continue
		}
		dst = appendEscaped(append(dst, s[done:i]...), s[i])
		i++
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}

// plain returns how many bytes the first character of s has, or 0 when it cannot stand in a JSON string as it is.
func plain(s string) int {
	c := s[0]
	if c < utf8.RuneSelf {
		if c < 0x20 || c == '"' || c == '\\' {
			return 0
		}
		return 1
	}
	if r, size := utf8.DecodeRuneInString(s); r != utf8.RuneError || size > 1 {
		return size
	}
	return 0
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if c < 0x20 {
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return append(dst, "\uFFFD"...)
}
