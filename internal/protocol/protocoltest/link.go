package protocoltest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// link is one client's connection, by whatever transport: what the server sends comes out of it frame by frame, arrays of frames taken apart and
// heartbeats left out.
type link interface {
	send(frames []byte) error
	next(within time.Duration) (json.RawMessage, error)
	// end waits for the connection's end, and gives its code.
	end(within time.Duration) (int, error)
	// hangup says goodbye with a close code, if the transport has one, and waits for the answer.
	hangup(code int, within time.Duration) error
	// drop cuts the connection.
	drop()
}

// binarySender is a link that can also send binary.
type binarySender interface{ sendBinary(body []byte) error }

// Transports are the ways by which vectors and the suite are played.
var Transports = []string{"websocket", "stream", "sse", "poll"}

// OverHTTP2 are those of them that need no connection of their own, over HTTP/2.
var OverHTTP2 = []string{"stream/2", "sse/2", "poll/2"}

// connect makes a link to a server (http://host:port).
func connect(url, transport string) (link, error) {
	server := base{url, httpClient}
	if _, h2 := strings.CutSuffix(transport, "/2"); h2 {
		server.client = http2Client
	}
	switch transport, _, _ := strings.Cut(transport, "/"); transport {
	case "stream", "sse":
		return newStreamLink(server, transport), nil
	case "poll":
		return &pollLink{base: server, follows: map[string]bool{}}, nil
	}
	s, _, err := dial(wsURL(url), nil)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// inbox is what a link has received.
type inbox struct {
	frames chan json.RawMessage
	closed chan struct{} // closed when nothing more comes; then err is set
	err    error
	quit   chan struct{}
	once   sync.Once
}

func newInbox() inbox {
	return inbox{frames: make(chan json.RawMessage), closed: make(chan struct{}), quit: make(chan struct{})}
}

// put gives frames to whoever waits for them; false: the link is being dropped, or the text is none.
func (i *inbox) put(text []byte) bool {
	frames, err := flatten(text)
	if err != nil {
		i.err = err
		return false
	}
	for _, f := range frames {
		if typeOf(f) == "ping" {
			continue
		}
		select {
		case i.frames <- f:
		case <-i.quit:
			i.err = errors.New("closed by the test")
			return false
		}
	}
	return true
}

func (i *inbox) next(within time.Duration) (json.RawMessage, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case f := <-i.frames:
		return f, nil
	case <-i.closed:
		return nil, fmt.Errorf("the connection has ended: %w", i.err)
	case <-timer.C:
		return nil, fmt.Errorf("nothing came within %v", within)
	}
}

// wait waits for the end, which err tells about.
func (i *inbox) wait(within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case f := <-i.frames:
		return fmt.Errorf("a frame came instead of the end: %s", clip(f))
	case <-i.closed:
		return nil
	case <-timer.C:
		return fmt.Errorf("not closed within %v", within)
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

func typeOf(frame []byte) string { return read(frame).Type }

// frameHead is what links have to know of a frame.
type frameHead struct {
	Type       string          `json:"type"`
	Code       int             `json:"code"`
	Name       string          `json:"name"`
	Text       string          `json:"text"`
	Detail     string          `json:"detail"`
	Session    string          `json:"session"`
	SessionKey string          `json:"session_key"`
	Cursor     string          `json:"cursor"`
	Channel    string          `json:"channel"`
	Ref        json.RawMessage `json:"ref"`
}

func read(frame []byte) (h frameHead) {
	_ = json.Unmarshal(frame, &h) // a frame of another form has none of these
	return h
}

// These are shared by all links, and have no time-out: each request says how long it may take.
var (
	httpClient  = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	http2Client = &http.Client{Transport: &http.Transport{Protocols: http2Only()}}
)

func http2Only() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// base is a server and how requests are sent there.
type base struct {
	url    string
	client *http.Client
}

// post sends a request whose answer may take as long as ctx.
func (b *base) post(ctx context.Context, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return b.client.Do(req)
}

// asFrame makes the frame of a problem that a transport with frames would have sent instead, in answer to sent.
func asFrame(res *http.Response, sent []byte) ([]byte, error) {
	body, err := io.ReadAll(res.Body)
	if err = firstError(err, res.Body.Close()); err != nil {
		return nil, err
	}
	p := read(body)
	if res.Header.Get("Content-Type") != "application/problem+json" || p.Code == 0 {
		return nil, fmt.Errorf("status %s is no problem: %s", res.Status, clip(body))
	}
	frame := map[string]any{"type": "error", "code": p.Code, "name": p.Name, "text": p.Detail}
	if ref := read(sent).Ref; ref != nil {
		frame["ref"] = ref
	}
	return json.Marshal(frame)
}

var _ = []link{(*socket)(nil), (*streamLink)(nil), (*pollLink)(nil)}
var _ binarySender = (*socket)(nil)

func isClose(err error) (int, bool) {
	c, ok := errors.AsType[*websocket.CloseError](err)
	if !ok {
		return 0, false
	}
	return c.Code, true
}
