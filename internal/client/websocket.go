package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/hub"
)

// webSocket is a link by RFC 6455.
type webSocket struct {
	ws    *websocket.Conn
	heard *heardConn
}

// heardConn ends a read when nothing at all was heard for a time. Any byte counts: a large message on a slow line is a sign of life.
type heardConn struct {
	net.Conn
	silence atomic.Int64 // a time.Duration; 0: for ever
}

func (h *heardConn) Read(b []byte) (int, error) {
	if silence := time.Duration(h.silence.Load()); silence > 0 {
		if err := h.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return 0, err
		}
	}
	return h.Conn.Read(b)
}

func openWebSocket(ctx context.Context, s *server, buffer int, hello []byte) (link, error) {
	w := &webSocket{}
	dialer := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, Subprotocols: []string{"sno.v1"}, ReadBufferSize: buffer, WriteBufferSize: buffer,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			w.heard = &heardConn{Conn: raw}
			return w.heard, nil
		},
	}
	url := "ws" + strings.TrimPrefix(s.base, "http") + "/v1/ws"
	ws, response, err := dialer.DialContext(s.traced(ctx), url, nil) //nolint:bodyclose // refusal reads it to its end; on success there is none
	if errors.Is(err, websocket.ErrBadHandshake) && response != nil {
		return nil, refusal(response)
	}
	if err != nil {
		return nil, err
	}
	w.ws = ws
	return w, w.send([][]byte{hello})
}

func (w *webSocket) greeted(_ *frame, silence time.Duration) { w.heard.silence.Store(int64(silence)) }

func (w *webSocket) close() { _ = w.ws.Close() }

func (w *webSocket) read() ([]frame, error) {
	kind, b, err := w.ws.ReadMessage()
	switch e, ok := errors.AsType[*websocket.CloseError](err); {
	case ok && e.Code >= 4000 && e.Code < 4300:
		return nil, &hub.Error{Code: hub.Code(e.Code), Text: e.Text}
	case ok && e.Code == websocket.CloseAbnormalClosure: // no close frame has come
		return nil, fmt.Errorf("the connection was cut: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, err
	}
	if kind != websocket.TextMessage {
		return nil, notAFrame(b)
	}
	return decodeFrames(b)
}

// send writes frames as one WebSocket message.
func (w *webSocket) send(frames [][]byte) error {
	return w.ws.WriteMessage(websocket.TextMessage, join(frames))
}

// leave closes the WebSocket, so that the server knows that we leave on purpose. Closing the socket at once instead could throw away the close
// frame if there is unread input.
func (w *webSocket) leave() error {
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	return w.ws.WriteControl(websocket.CloseMessage, message, time.Now().Add(closeTimeout))
}

// join gives a frame as it is, and several as an array.
func join(frames [][]byte) []byte {
	if len(frames) == 1 {
		return frames[0]
	}
	size := len("[]")
	for _, f := range frames {
		size += len(f) + len(",")
	}
	b := append(make([]byte, 0, size), '[')
	for i, f := range frames {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f...)
	}
	return append(b, ']')
}

func notAFrame(b []byte) error { return fmt.Errorf("the server sent what is no frame: %q", clip(b)) }
