package protocoltest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// streamLink is a link by a response that does not end, of lines or of events. What is sent first opens it; the rest goes beside it.
type streamLink struct {
	inbox
	base
	transport string
	ctx       context.Context
	cancel    context.CancelFunc
	opened    bool
	welcomed  chan struct{}
	welcome   frameHead
	last      atomic.Int64 // the code of the newest error frame
}

func newStreamLink(server base, transport string) *streamLink {
	s := &streamLink{inbox: newInbox(), base: server, transport: transport, welcomed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *streamLink) send(frames []byte) error {
	if !s.opened {
		s.opened = true
		go s.read(frames)
		return nil
	}
	select {
	case <-s.welcomed:
	case <-s.closed:
		return fmt.Errorf("the connection has ended: %w", s.err)
	case <-time.After(patience):
		return errors.New("there was no welcome")
	}
	continued, err := json.Marshal(map[string]string{"type": "connect", "session": s.welcome.Session, "session_key": s.welcome.SessionKey})
	if err != nil {
		return err
	}
	res, err := s.post(s.ctx, "/v1/send", append(append(continued, '\n'), frames...))
	if err != nil {
		return err
	}
	if res.StatusCode == http.StatusNoContent {
		return res.Body.Close()
	}
	frame, err := asFrame(res, frames)
	if err == nil && read(frame).Code >= 4300 {
		go s.put(frame)
	}
	return err
}

func (s *streamLink) read(first []byte) {
	defer close(s.closed)
	res, err := s.post(s.ctx, "/v1/"+s.transport, first)
	if err != nil {
		s.err = err
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		frame, err := asFrame(res, first)
		if err != nil {
			s.err = err
			return
		}
		s.hand(frame)
		return
	}
	lines := bufio.NewReader(res.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			s.err = err
			return
		}
		if frame := s.frame(line); len(frame) > 0 && !s.hand(frame) {
			return
		}
	}
}

// frame is what a line holds.
func (s *streamLink) frame(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	if s.transport == "stream" {
		return line
	}
	data, _ := bytes.CutPrefix(line, []byte("data: "))
	if len(data) == len(line) {
		return nil // id, retry, or the end of an event
	}
	return data
}

func (s *streamLink) hand(frame []byte) bool {
	switch head := read(frame); head.Type {
	case "welcome":
		s.welcome = head
		close(s.welcomed)
	case "error":
		s.last.Store(int64(head.Code))
	}
	return s.put(frame)
}

// end gives the code of the last error: an HTTP response has no other place for it.
func (s *streamLink) end(within time.Duration) (int, error) {
	err := s.wait(within)
	return int(s.last.Load()), err
}

func (s *streamLink) hangup(int, time.Duration) error {
	defer s.drop()
	return s.send([]byte(`{"type":"close"}`))
}

func (s *streamLink) drop() {
	s.once.Do(func() {
		close(s.quit)
		s.cancel()
		if s.opened {
			<-s.closed
		}
	})
}
