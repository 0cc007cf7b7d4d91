package xhr

import "github.com/snoserver/sno/internal/wire"

// appendLine appends a line with what one Pull has given: a message, or one or several that many connections get. Nothing: no line.
func appendLine(dst, out []byte, shared *wire.Payload) []byte {
	switch {
	case shared != nil:
		dst = append(dst, "a["...)
		dst = append(dst, shared.Framed(wire.FormStrings, func(b []byte) []byte { return appendStrings(nil, b, shared.Ends) })...)
	case len(out) > 0:
		dst = appendString(append(dst, "a["...), out)
	default:
		return dst
	}
	return append(dst, "]\n"...)
}

// appendStrings appends messages, of which ends says where each ends; nil: it is one.
func appendStrings(dst, messages []byte, ends []int) []byte {
	if ends == nil {
		return appendString(dst, messages)
	}
	start := 0
	for i, end := range ends {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, messages[start:end])
		start = end
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString appends UTF-8 as a JSON string.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	done := 0
	for i, b := range s {
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, s[done:i]...)
		if done = i + 1; b >= ' ' {
			dst = append(dst, '\\', b)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return append(append(dst, s[done:]...), '"')
}
