package websocket

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 §4.2.2 asks for it; nothing depends on its strength
	"encoding/base64"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// upgrade answers the handshake (RFC 6455 §4.2). unread was read behind it already.
func (e *Endpoint) upgrade(w http.ResponseWriter, r *http.Request) (nc net.Conn, unread []byte, deflate bool, err error) {
	subprotocol, refused := e.check(r)
	if refused != nil {
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, refused.text, refused.code)
		return nil, nil, false, refused
	}
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot become a WebSocket; connect by HTTP/1.1", http.StatusNotImplemented)
		return nil, nil, false, err
	}
	b := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	b = append(b, acceptKey(r.Header.Get("Sec-WebSocket-Key"))...)
	if subprotocol != "" {
		b = append(append(b, "\r\nSec-WebSocket-Protocol: "...), subprotocol...)
	}
	if deflate = offersDeflate(r); deflate {
		b = append(b, "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"...)
	}
	_ = nc.SetDeadline(time.Now().Add(handshakePatience)) // a connection that is closed tells the Write
	if _, err := nc.Write(append(b, "\r\n\r\n"...)); err != nil {
		_ = nc.Close()
		return nil, nil, false, err
	}
	_ = nc.SetDeadline(time.Time{})
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Peek(n) // they are there
		unread = bytes.Clone(early)
	}
	return nc, unread, deflate, nil
}

// check says which subprotocol is spoken, or why the request is refused, by HTTP status.
func (e *Endpoint) check(r *http.Request) (subprotocol string, refused *refusal) {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket"):
		return "", &refusal{http.StatusBadRequest, "this is not a WebSocket handshake: Connection: Upgrade and Upgrade: websocket are needed (a proxy may have taken them out)"}
	case r.Method != http.MethodGet:
		return "", &refusal{http.StatusMethodNotAllowed, "a WebSocket handshake is a GET"}
	case !hasToken(r.Header, "Sec-WebSocket-Version", "13"):
		return "", &refusal{http.StatusUpgradeRequired, "this server speaks version 13 of the WebSocket protocol (RFC 6455)"}
	case err != nil || len(key) != 16:
		return "", &refusal{http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes as base64"}
	case e.o.AllowOrigin != nil && !e.o.AllowOrigin(r):
		return "", &refusal{http.StatusForbidden, "this page's origin may not connect; add it to the server's origins"}
	}
	asked := tokens(r.Header, "Sec-WebSocket-Protocol")
	if len(asked) == 0 {
		return "", nil
	}
	if !slices.Contains(asked, e.o.Subprotocol) {
		return "", &refusal{http.StatusBadRequest, "none of the subprotocols asked for is spoken here; ask for " + e.o.Subprotocol}
	}
	return e.o.Subprotocol, nil
}

// tokens are the elements of a header that is a list.
func tokens(h http.Header, name string) (all []string) {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if t = strings.TrimSpace(t); t != "" {
				all = append(all, t)
			}
		}
	}
	return all
}

func hasToken(h http.Header, name, want string) bool {
	return slices.ContainsFunc(tokens(h, name), func(t string) bool { return strings.EqualFold(t, want) })
}

// acceptKey is what proves that the handshake was understood (RFC 6455 §4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// offersDeflate reports whether a request offers permessage-deflate in a form that is spoken here: RFC 7692 §7.1.2.1 lets a peer ask for a smaller window,
// which compress/flate does not have.
func offersDeflate(r *http.Request) bool {
	return slices.ContainsFunc(tokens(r.Header, "Sec-WebSocket-Extensions"), func(offer string) bool {
		name, params, _ := strings.Cut(offer, ";")
		return strings.TrimSpace(name) == "permessage-deflate" && !strings.Contains(params, "server_max_window_bits")
	})
}
