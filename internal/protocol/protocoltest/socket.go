package protocoltest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// socket is one client's connection: what the server sends comes out of it frame by frame, arrays of frames taken apart and
// heartbeats left out.
type socket struct {
	conn   *websocket.Conn
	frames chan json.RawMessage
	closed chan struct{} // closed when the reader has ended; then err is set
	err    error
	once   sync.Once
	quit   chan struct{}
}

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
	s = &socket{conn: conn, frames: make(chan json.RawMessage), closed: make(chan struct{}), quit: make(chan struct{})}
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
		frames, err := flatten(text)
		if err != nil {
			s.err = err
			return
		}
		for _, f := range frames {
			if !s.hand(f) {
				return
			}
		}
	}
}

// hand gives a frame to whoever waits for it; false: the socket is being closed.
func (s *socket) hand(frame json.RawMessage) bool {
	if typeOf(frame) == "ping" {
		return true
	}
	select {
	case s.frames <- frame:
		return true
	case <-s.quit:
		s.err = errors.New("closed by the test")
		return false
	}
}

func flatten(text []byte) ([]json.RawMessage, error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("the server sent what is not JSON: %s", clip(text))
	}
	if text = bytes.TrimSpace(text); text[0] != '[' {
		return []json.RawMessage{text}, nil
	}
	var frames []json.RawMessage
	err := json.Unmarshal(text, &frames)
	return frames, err
}

func typeOf(frame []byte) string {
	var f struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(frame, &f) != nil {
		return ""
	}
	return f.Type
}

// next is the next frame.
func (s *socket) next(within time.Duration) (json.RawMessage, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case f := <-s.frames:
		return f, nil
	case <-s.closed:
		return nil, fmt.Errorf("the connection has ended: %w", s.err)
	case <-timer.C:
		return nil, fmt.Errorf("nothing came within %v", within)
	}
}

// end waits for the close frame, and gives its code.
func (s *socket) end(within time.Duration) (int, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case f := <-s.frames:
		return 0, fmt.Errorf("a frame came instead of the close: %s", clip(f))
	case <-s.closed:
		if c, ok := errors.AsType[*websocket.CloseError](s.err); ok {
			return c.Code, nil
		}
		return 0, fmt.Errorf("the connection ended without a close: %w", s.err)
	case <-timer.C:
		return 0, fmt.Errorf("not closed within %v", within)
	}
}

func (s *socket) send(kind int, body []byte) error {
	return s.conn.WriteMessage(kind, body)
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
