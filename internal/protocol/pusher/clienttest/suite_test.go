package clienttest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/protocoltest"
)

// TestSuite: this protocol keeps the promises that all keep, for clients that say where they were.
func TestSuite(t *testing.T) {
	for _, transport := range []string{"ws", "xhr_streaming", "xhr"} {
		t.Run(transport, func(t *testing.T) {
			protocoltest.Run(t, func(t *testing.T) protocoltest.Server {
				p := serve(t, func(c *config.Config) { c.Drain = config.Duration(200 * time.Millisecond) })
				s := protocoltest.Server{
					Dial:         func(t *testing.T) protocoltest.Client { return dialSuite(t, p, transport) },
					Publish:      p.store,
					Trim:         nil,
					Drain:        func(*testing.T) { go p.stop() },
					MessageBytes: 1 << 20,
				}
				if transport == "xhr" { // between two polls there is no connection
					s.Drain = nil
				}
				return s
			})
		})
	}
}

// store publishes as a native backend does.
func (p place) store(t *testing.T, channel, data string) (at hub.Position) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.URL+"/v1/channels/"+pusherName(channel)+"/messages", strings.NewReader(`{"data":`+data+`}`))
	if err != nil {
		t.Error(err)
		return at
	}
	r.SetBasicAuth(p.Key, p.Secret)
	r.Header.Set("Content-Type", "application/json")
	res, err := oneRequest.Do(r)
	if err != nil {
		t.Error(err)
		return at
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&at); err != nil || at.Offset == 0 {
		t.Errorf("publish: %s, %v", res.Status, err)
	}
	return at
}

// oneRequest keeps no connection that somebody would have to close.
var oneRequest = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// pusherName is the suite's channel as one whose name says here what its clients may do: a closed one needs a signature, which they do not have.
func pusherName(channel string) string {
	if strings.HasPrefix(channel, "closed:") {
		return "private-" + channel
	}
	return channel
}

// suiteClient is what the suite has of a client that says sno:resume.
type suiteClient struct {
	link
	at    map[string]hub.Position // what sno:position has said of the next event
	prev  map[string]uint64       // and of the one before
	ended error                   // is next
}

// link moves frames.
type link interface {
	send(frame string) error
	next(ctx context.Context) (string, error)
	Close()
}

func dialSuite(t *testing.T, p place, transport string) protocoltest.Client {
	t.Helper()
	var l link
	var err error
	if transport == "ws" {
		l, err = dialSocket(p)
	} else if l = dialXHR(p, transport); transport == "xhr" {
		l = readAhead(l)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if first, err := l.next(ctx); err != nil || !established.MatchString(first) {
		t.Fatalf("%s, %v", first, err)
	}
	return &suiteClient{link: l, at: map[string]hub.Position{}, prev: map[string]uint64{}}
}

// Subscribe implements protocoltest.Client.
func (c *suiteClient) Subscribe(ctx context.Context, channel string, after *hub.Position) error {
	resume := map[string]string{}
	if after != nil {
		resume[channel] = after.String()
	}
	for _, frame := range []map[string]any{{"event": "sno:resume", "data": resume}, {"event": "pusher:subscribe", "data": map[string]string{"channel": pusherName(channel)}}} {
		b, err := json.Marshal(frame)
		if err != nil {
			return err
		}
		if err := c.send(string(b)); err != nil {
			return err
		}
	}
	for {
		f, err := c.frame(ctx)
		switch {
		case err != nil:
			return err
		case f.Event == "pusher:subscription_error" && strings.Contains(f.text(), `"status":401`):
			_, err := c.frame(ctx) // the pusher:error behind it
			return errors.Join(err, hub.Errorf(hub.CodeForbidden, "%s", f.text()))
		case f.Event == "pusher_internal:subscription_succeeded":
			c.prev[channel] = c.at[channel].Offset
			return nil
		case f.Event != "sno:position":
			return fmt.Errorf("subscribe was answered by %+v", f)
		}
	}
}

// suiteFrame is any frame of the server.
type suiteFrame struct {
	Event, Channel string
	Data           json.RawMessage
}

// text is the string that the data is.
func (f *suiteFrame) text() (s string) {
	_ = json.Unmarshal(f.Data, &s) // "" otherwise
	return s
}

func (c *suiteClient) frame(ctx context.Context) (*suiteFrame, error) {
	text, err := c.next(ctx)
	if err != nil {
		return nil, err
	}
	f := new(suiteFrame)
	if err := json.Unmarshal([]byte(text), f); err != nil || f.Event != "sno:position" {
		return f, err
	}
	epoch, offset, _ := strings.Cut(f.text(), ":")
	at := hub.Position{Epoch: epoch}
	if _, err := fmt.Sscan(offset, &at.Offset); err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	c.at[f.Channel] = at
	return f, nil
}

// Next implements protocoltest.Client.
func (c *suiteClient) Next(ctx context.Context) (protocoltest.Event, error) {
	if c.ended != nil {
		return protocoltest.Event{}, c.ended
	}
	for {
		f, err := c.frame(ctx)
		if closed, ok := errors.AsType[*closedError](err); ok && closed.code == 4200 {
			c.ended = err
			return protocoltest.Event{Goaway: true}, nil
		}
		switch {
		case err != nil:
			return protocoltest.Event{}, err
		case f.Event == "sno:position":
		case f.Event == "sno:reset":
			var why struct{ Reason hub.Reset }
			err := json.Unmarshal([]byte(f.text()), &why)
			return protocoltest.Event{Channel: f.Channel, Reset: why.Reason}, err
		case f.Event != "message":
			return protocoltest.Event{}, fmt.Errorf("unexpected frame %+v", f)
		default:
			e := protocoltest.Event{Channel: f.Channel, Position: c.at[f.Channel], Prev: c.prev[f.Channel], Data: f.text()}
			c.prev[f.Channel] = e.Position.Offset
			return e, nil
		}
	}
}

// closedError is the server's last word.
type closedError struct{ code int }

func (e *closedError) Error() string { return fmt.Sprintf("closed with %d", e.code) }

// socketLink is a WebSocket.
type socketLink struct{ conn *websocket.Conn }

func dialSocket(p place) (link, error) {
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.URL, "http")+"/app/"+p.Key+"?protocol=7", nil)
	return &socketLink{c}, err
}

func (l *socketLink) send(frame string) error {
	return l.conn.WriteMessage(websocket.TextMessage, []byte(frame))
}

func (l *socketLink) next(ctx context.Context) (string, error) {
	deadline, _ := ctx.Deadline()
	_ = l.conn.SetReadDeadline(deadline)
	_, msg, err := l.conn.ReadMessage()
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return "", &closedError{closed.Code}
	}
	return string(msg), err
}

// Close implements protocoltest.Client.
func (l *socketLink) Close() { l.conn.Close() }

// xhrLink makes requests as pusher-js does without WebSocket.
type xhrLink struct {
	url, transport string
	ctx            context.Context
	cancel         context.CancelFunc
	response       *http.Response
	lines          *bufio.Reader
	read           int
	waiting        []string
}

func dialXHR(p place, transport string) link {
	ctx, cancel := context.WithCancel(context.Background())
	session := fmt.Sprintf("%s/pusher/app/%s/7/%x/", p.URL, p.Key, time.Now().UnixNano())
	return &xhrLink{url: session, transport: transport, ctx: ctx, cancel: cancel}
}

func (l *xhrLink) post(path, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(l.ctx, http.MethodPost, l.url+path+"?protocol=7", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return oneRequest.Do(r)
}

func (l *xhrLink) send(frame string) error {
	body, err := json.Marshal([]string{frame})
	if err != nil {
		return err
	}
	res, err := l.post("xhr_send", string(body))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("send: %s", res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

func (l *xhrLink) next(ctx context.Context) (string, error) {
	for len(l.waiting) == 0 {
		if l.read > 256<<10 { // so much a browser reads of one response; all is ASCII here
			l.hangUp()
		}
		if l.response == nil {
			res, err := l.post(l.transport, "")
			if err != nil {
				return "", err
			}
			l.response, l.lines, l.read = res, bufio.NewReader(res.Body), 0
		}
		stop := context.AfterFunc(ctx, l.cancel)
		line, err := l.lines.ReadBytes('\n')
		stop()
		if errors.Is(err, io.EOF) && len(line) == 0 && l.transport == "xhr" {
			l.hangUp()
			continue
		}
		if err != nil {
			return "", err
		}
		l.read += len(line)
		if err := l.take(bytes.TrimSpace(line)); err != nil {
			return "", err
		}
	}
	frame := l.waiting[0]
	l.waiting = l.waiting[1:]
	return frame, nil
}

func (l *xhrLink) take(line []byte) error {
	switch line[0] {
	case 'a':
		return json.Unmarshal(line[1:], &l.waiting)
	case 'c':
		var last []any
		if err := json.Unmarshal(line[1:], &last); err != nil {
			return err
		}
		return &closedError{int(last[0].(float64))}
	}
	return nil
}

// ahead is a link that is read whether somebody wants it or not, as a page polls: one that does not is taken for gone.
type ahead struct {
	link
	frames chan read
	done   chan struct{}
}

// read is what next has returned.
type read struct {
	frame string
	err   error
}

func readAhead(l link) link {
	a := &ahead{l, make(chan read, 10_000), make(chan struct{})}
	go func() {
		defer close(a.done)
		for {
			frame, err := l.next(context.Background())
			if a.frames <- (read{frame, err}); err != nil {
				return
			}
		}
	}()
	return a
}

func (a *ahead) next(ctx context.Context) (string, error) {
	select {
	case r := <-a.frames:
		return r.frame, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Close implements protocoltest.Client.
func (a *ahead) Close() {
	a.link.(*xhrLink).cancel()
	<-a.done
	a.link.Close()
}

func (l *xhrLink) hangUp() {
	if l.response != nil {
		l.response.Body.Close()
	}
	l.response, l.read = nil, 0
}

// Close implements protocoltest.Client.
func (l *xhrLink) Close() {
	l.cancel()
	l.hangUp()
}
