//go:build linux

package crowd

import (
	"bytes"
	"time"
)

// A marker stands in every payload that is published: "@T" and the time in nanoseconds as 16 hexadecimal digits. So a delivery can be told in any protocol that leaves text as it is, without parsing it.
const (
	markerHead = "@T"
	// MarkerSize is the length of a marker in bytes.
	MarkerSize = len(markerHead) + 16
)

const hexDigits = "0123456789abcdef"

// start is what times in markers count from: they mean something to this process only.
var start = time.Now()

// now is the time since start in nanoseconds.
func now() int64 { return int64(time.Since(start)) }

// AppendMarker appends a marker with a time.
func AppendMarker(out []byte, nanoseconds int64) []byte {
	out = append(out, markerHead...)
	for shift := 60; shift >= 0; shift -= 4 {
		out = append(out, hexDigits[nanoseconds>>shift&15])
	}
	return out
}

// markerTime reads the digits of a marker.
func markerTime(digits []byte) int64 {
	var t int64
	for _, d := range digits[:16] {
		switch {
		case d >= 'a':
			d -= 'a' - 10
		default:
			d -= '0'
		}
		t = t<<4 | int64(d&15)
	}
	return t
}

// beginning is where, at the end of b, a marker may have begun that is not whole yet; len(b) if none has.
func beginning(b []byte) int {
	from := max(0, len(b)-MarkerSize+1)
	if i := bytes.IndexByte(b[from:], markerHead[0]); i >= 0 {
		return from + i
	}
	return len(b)
}

// AppendPayload appends a JSON object of about size bytes with a marker of the present moment; at least what the marker takes.
func AppendPayload(out []byte, size int) []byte {
	begin := len(out)
	out = append(out, `{"t":"`...)
	out = AppendMarker(out, now())
	out = append(out, `","p":"`...)
	for i := len(out) - begin; i < size-2; i++ {
		out = append(out, filler[(i*7+i/13)%len(filler)])
	}
	return append(out, `"}`...)
}

// filler is what payloads are filled with: text that compresses as badly as names and identifiers do.
const filler = "abcdefghijklmnopqrstuvwxyz 0123456789ABCDEF"
