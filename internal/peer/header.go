package peer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2, as HAProxy's proxy-protocol.txt defines it.
const (
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"
	maxLine1   = 107  // §2.1, with the end of the line
	maxBody2   = 2048 // addresses and TLVs; §2.2 lets a receiver bound them
)

var errNoHeader = errors.New("the connection does not begin with a PROXY protocol header")

// readHeader reads a header and nothing after it. The zero AddrPort means that the proxy speaks for itself or does not know for whom.
func readHeader(r *bufio.Reader) (netip.AddrPort, error) {
	first, err := r.Peek(1)
	switch {
	case err != nil:
		return netip.AddrPort{}, err
	case first[0] == signature2[0]:
		return readHeader2(r)
	default:
		return readHeader1(r)
	}
}

func readHeader1(r *bufio.Reader) (netip.AddrPort, error) {
	line := make([]byte, 0, maxLine1)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxLine1 {
			return netip.AddrPort{}, errNoHeader
		}
		b, err := r.ReadByte()
		if err != nil {
			return netip.AddrPort{}, err
		}
		line = append(line, b)
		if n := min(len(line), len("PROXY ")); string(line[:n]) != "PROXY "[:n] {
			return netip.AddrPort{}, errNoHeader // at once: a client that speaks first would otherwise wait for an answer
		}
	}
	return parseLine1(strings.TrimSuffix(string(line), "\r\n"))
}

func parseLine1(line string) (netip.AddrPort, error) {
	bad := errors.New("the PROXY protocol header is malformed")
	f := strings.Split(line, " ")
	if f[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return netip.AddrPort{}, bad
	}
	for _, i := range []int{2, 3} {
		if a, err := netip.ParseAddr(f[i]); err != nil || a.Zone() != "" || a.Is4() != (f[1] == "TCP4") {
			return netip.AddrPort{}, bad
		}
	}
	for _, i := range []int{4, 5} {
		if n, err := strconv.ParseUint(f[i], 10, 16); err != nil || strconv.FormatUint(n, 10) != f[i] {
			return netip.AddrPort{}, bad
		}
	}
	port, _ := strconv.ParseUint(f[4], 10, 16) // seen above
	return netip.AddrPortFrom(netip.MustParseAddr(f[2]).Unmap(), uint16(port)), nil
}

// Bytes of version 2's header (§2.2).
const (
	local2 = 0x20
	proxy2 = 0x21
	tcp4   = 0x11
	tcp6   = 0x21
)

func readHeader2(r *bufio.Reader) (netip.AddrPort, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, err
	}
	command, family, size := head[12], head[13], binary.BigEndian.Uint16(head[14:])
	if string(head[:12]) != signature2 {
		return netip.AddrPort{}, errNoHeader
	}
	if size > maxBody2 || command != local2 && command != proxy2 {
		return netip.AddrPort{}, errors.New("the PROXY protocol header has another version, or is too long")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case command == local2, family == 0: // a health check of the proxy's own, or an unknown family
		return netip.AddrPort{}, nil
	case family == tcp4 && size >= 12:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:])), nil
	case family == tcp6 && size >= 36:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:])), nil
	}
	return netip.AddrPort{}, errors.New("the PROXY protocol header is not about TCP over IP")
}
