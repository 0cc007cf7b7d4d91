package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// maxFragments is how many frames one message may come in: empty ones would cost no byte of the message's limit.
	maxFragments = 4096
	// messagePatience is how long a message may take from its first byte to its last, and one second more for each bytesASecond of it. Only the time
	// that is spent waiting for the peer counts.
	messagePatience = 30 * time.Second
	bytesASecond    = 10_000
)

// refusal is why a connection ends whose peer sends what is not read.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

// incoming is a connection whose frames (RFC 6455 §5.2) are looked at as they are read, for what gorilla/websocket does not bound: how many of them make
// one message, and for how long. The payload passes unseen.
type incoming struct {
	net.Conn
	o       *Options
	deflate bool // permessage-deflate was agreed on

	header   [14]byte
	have     int           // bytes of header
	payload  uint64        // bytes of the frame that are still to come
	open     bool          // a message has begun and not ended
	frames   int           // of that message
	patience time.Duration // left for it
	hurried  bool          // a deadline is set
	deflated []bool        // of messages whose beginning was read and that were not asked about: whether they are compressed
}

// within reports whether a frame or message has begun and not ended.
func (in *incoming) within() bool { return in.open || in.have > 0 || in.payload > 0 }

// Read implements net.Conn. Its error is a *refusal if that is why nothing more is read.
func (in *incoming) Read(p []byte) (int, error) {
	start := in.hurry()
	n, err := in.Conn.Read(p)
	if in.hurried {
		in.patience -= time.Since(start)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = &refusal{in.o.TimeoutCode, fmt.Sprintf("a message may take %v and a second for each %d bytes; this one took longer", messagePatience, bytesASecond)}
		}
	}
	if bad := in.look(p[:n]); bad != nil {
		return n, bad
	}
	return n, err
}

// hurry sets a deadline while something is incomplete, and takes it away otherwise: between two messages a peer may be silent.
func (in *incoming) hurry() (now time.Time) {
	switch {
	case in.within():
		now = time.Now()
		_ = in.SetReadDeadline(now.Add(max(in.patience, 0))) // a connection that is closed tells the Read
		in.hurried = true
	case in.hurried:
		_ = in.SetReadDeadline(time.Time{})
		in.hurried = false
	}
	return now
}

// look follows the frames in what was read.
func (in *incoming) look(b []byte) error {
	for len(b) > 0 {
		if !in.within() {
			in.patience = messagePatience
		}
		var n int
		if in.payload > 0 {
			n = int(min(in.payload, uint64(len(b))))
			in.payload -= uint64(n)
		} else {
			n = copy(in.header[in.have:in.headerBytes()], b)
			in.have += n
			if in.have >= 2 && in.have == in.headerBytes() {
				if err := in.begin(); err != nil {
					return err
				}
			}
		}
		in.patience += time.Duration(n) * time.Second / bytesASecond
		b = b[n:]
	}
	return nil
}

// headerBytes is how long the header is, as far as one can tell by what is there of it.
func (in *incoming) headerBytes() int {
	if in.have < 2 {
		return 2
	}
	n := 2
	switch in.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if in.header[1]&0x80 != 0 {
		n += 4 // the mask
	}
	return n
}

// begin takes note of a frame whose header is complete. What is malformed is found by gorilla/websocket, which reads the same.
func (in *incoming) begin() error {
	in.have = 0
	switch n := in.header[1] & 0x7f; n {
	case 126:
		in.payload = uint64(binary.BigEndian.Uint16(in.header[2:]))
	case 127:
		in.payload = binary.BigEndian.Uint64(in.header[2:])
	default:
		in.payload = uint64(n)
	}
	const final, compressed = 0x80, 0x40
	first, opcode := in.header[0], int(in.header[0]&0x0f)
	begins := opcode == websocket.TextMessage || opcode == websocket.BinaryMessage
	if first&compressed != 0 && !begins {
		return &refusal{websocket.CloseProtocolError, "RSV1 marks the first frame of a compressed message only (RFC 7692 §6)"}
	}
	if opcode >= websocket.CloseMessage {
		return nil
	}
	if begins {
		in.frames = 0
		if in.deflate {
			in.deflated = append(in.deflated, first&compressed != 0)
		}
	}
	in.open = first&final == 0
	if in.frames++; in.frames > maxFragments {
		return &refusal{in.o.TooLargeCode, fmt.Sprintf("a message in more than %d frames; send fewer, larger ones", maxFragments)}
	}
	return nil
}

// compressed reports whether the message that is about to be handed over is. It is asked once for each.
func (in *incoming) compressed() bool {
	if len(in.deflated) == 0 {
		return false
	}
	is := in.deflated[0]
	in.deflated = in.deflated[1:]
	return is
}

// NetConn returns the connection beneath, as *tls.Conn does.
func (in *incoming) NetConn() net.Conn { return in.Conn }

// offersDeflate reports whether a request offers permessage-deflate in a form that is spoken here: RFC 7692 §7.1.2.1 lets a peer ask for a smaller window,
// which compress/flate does not have.
func offersDeflate(r *http.Request) bool {
	for _, header := range r.Header.Values("Sec-WebSocket-Extensions") {
		for offer := range strings.SplitSeq(header, ",") {
			name, params, _ := strings.Cut(offer, ";")
			if strings.TrimSpace(name) == "permessage-deflate" && !strings.Contains(params, "server_max_window_bits") {
				return true
			}
		}
	}
	return false
}
