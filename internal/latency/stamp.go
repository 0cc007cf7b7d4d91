package latency

import (
	"bytes"
	"strconv"
	"time"
)

// Stamp is a message's data of about size bytes, at least 30: when it was made, on the publisher's clock, and something to fill it up.
func Stamp(since time.Duration, size int) []byte {
	b := strconv.AppendInt([]byte(`{"t":`), int64(since), 10)
	b = append(b, `,"pad":"`...)
	for len(b) < size-2 {
		b = append(b, 'x')
	}
	return append(b, `"}`...)
}

// Stamped reads when data of Stamp was made; ok is false for any other.
func Stamped(data []byte) (since time.Duration, ok bool) {
	rest, begins := bytes.CutPrefix(data, []byte(`{"t":`))
	digits, _, found := bytes.Cut(rest, []byte(","))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return time.Duration(n), begins && found && err == nil
}
