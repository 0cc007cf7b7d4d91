package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// streamLink is a link by a response that does not end, of lines (stream) or events (sse); what is sent goes in requests beside it, one after the other.
type streamLink struct {
	server *server
	ctx    context.Context
	cancel context.CancelCauseFunc
	body   io.Closer
	lines  *bufio.Reader
	next   func(*bufio.Reader) ([]byte, error) // the next frame
	heard  *watch
	who    []byte // the connect frame of the requests beside
}

func openStream(ctx context.Context, s *server, t Transport, buffer int, hello []byte) (link, error) {
	l := &streamLink{server: s, next: readLine}
	if t == SSE {
		l.next = readEvent
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.heard = newWatch(handshakeTimeout, l.cancel)
	stop := context.AfterFunc(ctx, func() { l.cancel(context.Cause(ctx)) })
	defer stop()
	response, err := s.post(l.ctx, "/v1/"+string(t), hello)
	if err != nil {
		l.close()
		return nil, err
	}
	want := map[Transport]string{Stream: "application/x-ndjson", SSE: "text/event-stream"}[t]
	if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, want) {
		l.close()
		_ = response.Body.Close()
		return nil, fmt.Errorf("the answer is of type %q instead of %s; is this the address of a Snö server?", got, want)
	}
	l.body, l.lines = response.Body, bufio.NewReaderSize(l.heard.over(response.Body), buffer)
	return l, nil
}

func (l *streamLink) greeted(w *frame, silence time.Duration) {
	l.heard.allow(silence)
	r := request{Type: "connect", Session: w.Session, SessionKey: w.SessionKey, Time: w.Time}
	l.who = append(r.encode(nil), '\n')
}

func (l *streamLink) read() ([]frame, error) {
	b, err := l.next(l.lines)
	if err != nil {
		return nil, whyEnded(l.ctx, err)
	}
	return decodeFrames(b)
}

func (l *streamLink) send(frames [][]byte) error {
	response, err := l.server.post(l.ctx, "/v1/send", append(bytes.Clone(l.who), join(frames)...))
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return response.Body.Close()
}

func (l *streamLink) leave() error { return l.send([][]byte{closeFrame}) }

func (l *streamLink) close() {
	l.cancel(errLinkClosed)
	l.heard.stop()
	if l.body != nil {
		_ = l.body.Close()
	}
}

// readLine reads a frame of a stream: a line that is not empty.
func readLine(r *bufio.Reader) ([]byte, error) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, unfinished(err)
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// readEvent reads a frame of an event stream: the data of an event (WHATWG HTML, 9.2.6). Ids are of no use to a client that keeps its positions.
func readEvent(r *bufio.Reader) ([]byte, error) {
	var data []byte
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, unfinished(err)
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) == 0 && len(data) > 0 {
			return data[:len(data)-1], nil
		}
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(append(data, bytes.TrimPrefix(value, []byte(" "))...), '\n')
		}
	}
}

// unfinished says that a response has ended which does not end by itself.
func unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// closeFrame is what a client says that does not come back.
var closeFrame = json.RawMessage(`{"type":"close"}`)
