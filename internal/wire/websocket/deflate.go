package websocket

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"sync"
)

// strangerBytes is what a compressed message of a peer that has not shown who it is may inflate to. Browsers compress their very first message.
const strangerBytes = 64 << 10

// deflateTail is what RFC 7692 §7.2.1 takes off the end of a compressed message; a final block behind it ends the stream.
const deflateTail = "\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff"

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level exists
	return w
}}

// appendDeflated appends a compressed text frame (RFC 7692 §7.2.1), without the context of those before: so it can be the same for many.
func appendDeflated(dst, msg []byte) []byte {
	var body bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	w.Reset(&body)
	_, _ = w.Write(msg) // a buffer takes all
	_ = w.Flush()
	deflaters.Put(w)
	packed := bytes.TrimSuffix(body.Bytes(), []byte(deflateTail[:4]))
	return append(appendHeader(dst, bitFinal|bitCompressed|opText, len(packed)), packed...)
}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

// inflate appends what packed holds to dst, as far as limit; size is how much it is, of which no more than most is looked at.
func inflate(dst, packed []byte, limit, most int64) (msg []byte, size int64, err error) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(io.MultiReader(bytes.NewReader(packed), bytes.NewReader([]byte(deflateTail))), nil); err != nil {
		return dst, 0, err
	}
	msg, err = readUpTo(dst, r, int(limit)+1)
	if size = int64(len(msg) - len(dst)); size <= limit || err != nil {
		return msg, size, err
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(r, max(0, most-size)))
	return msg[:len(dst)], size + rest, err
}

// readUpTo appends to dst until the end of r or most bytes.
func readUpTo(dst []byte, r io.Reader, most int) ([]byte, error) {
	end := len(dst) + most
	for len(dst) < end {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), end)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}
