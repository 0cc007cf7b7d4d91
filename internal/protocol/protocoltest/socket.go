package protocoltest

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// socket is a link by WebSocket.
type socket struct {
	inbox
	conn *websocket.Conn
}

func wsURL(url string) string { return "ws" + strings.TrimPrefix(url, "http") + "/v1/ws" }

// dial connects. A refused upgrade gives its status.
func dial(url string, o *Open) (s *socket, status int, err error) {
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	header := http.Header{}
	if o != nil {
		d.Subprotocols = o.Protocols
		for k, v := range o.Headers {
			header.Set(k, v)
		}
		if o.Query != "" {
			url += "?" + o.Query
		}
	}
	conn, res, err := d.Dial(url, header)
	if res != nil {
		status = res.StatusCode
		_ = res.Body.Close() // gorilla has read what there is
	}
	if err != nil {
		return nil, status, fmt.Errorf("open %s: %w", url, err)
	}
	s = &socket{inbox: newInbox(), conn: conn}
	go s.read()
	return s, status, nil
}

func (s *socket) read() {
	defer close(s.closed)
	for {
		kind, text, err := s.conn.ReadMessage()
		if err != nil {
			s.err = err
			return
		}
		if kind != websocket.TextMessage {
			s.err = fmt.Errorf("the server sent a binary message: %s", clip(text))
			return
		}
		if !s.put(text) {
			return
		}
	}
}

func (s *socket) end(within time.Duration) (int, error) {
	if err := s.wait(within); err != nil {
		return 0, err
	}
	code, ok := isClose(s.err)
	if !ok {
		return 0, fmt.Errorf("the connection ended without a close: %w", s.err)
	}
	return code, nil
}

func (s *socket) send(frames []byte) error { return s.conn.WriteMessage(websocket.TextMessage, frames) }

func (s *socket) sendBinary(body []byte) error {
	return s.conn.WriteMessage(websocket.BinaryMessage, body)
}

// hangup sends a close frame and waits for the answer. What else comes is not looked at.
func (s *socket) hangup(code int, within time.Duration) error {
	defer s.drop()
	if err := s.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, "")); err != nil {
		return err
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		select {
		case <-s.frames:
		case <-s.closed:
			return nil
		case <-timer.C:
			return fmt.Errorf("the server did not answer the close within %v", within)
		}
	}
}

// drop cuts the connection and waits for the reader to end.
func (s *socket) drop() {
	s.once.Do(func() {
		close(s.quit)
		_ = s.conn.Close() // it is being cut: there is nobody left to tell
		<-s.closed
	})
}
