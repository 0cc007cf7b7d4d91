package protocoltest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// pollLink is a link by polls: one when something is sent, and one whenever a frame is waited for. Nothing but the connect frame, the cursor and the
// session's key goes from one to the next.
type pollLink struct {
	base
	connect json.RawMessage // the client's own, as it was sent
	key     string
	cursor  string
	frames  []json.RawMessage
	code    int // the connection has ended with it
	greeted bool
	follows map[string]bool // channels that it has been told to follow
}

func firstOf(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}

func (p *pollLink) send(frames []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if p.connect != nil {
		return p.poll(ctx, "0", frames)
	}
	sent, err := flatten(frames)
	if err != nil {
		return p.poll(ctx, "0", frames) // the server has to say what is wrong with it
	}
	if typeOf(sent[0]) == "connect" {
		p.connect = sent[0]
		frames, err = json.Marshal(sent[1:])
		if err != nil {
			return err
		}
	}
	return p.poll(ctx, "0", frames)
}

func (p *pollLink) next(within time.Duration) (json.RawMessage, error) {
	deadline := time.Now().Add(within)
	for len(p.frames) == 0 {
		left := time.Until(deadline)
		switch {
		case p.code != 0:
			return nil, fmt.Errorf("the connection has ended with %d", p.code)
		case left <= 0:
			return nil, fmt.Errorf("nothing came within %v", within)
		}
		ctx, cancel := context.WithTimeout(context.Background(), left+patience)
		err := p.poll(ctx, fmt.Sprintf("%.3f", min(left, 20*time.Second).Seconds()), nil)
		cancel()
		if err != nil {
			return nil, err
		}
	}
	f := p.frames[0]
	p.frames = p.frames[1:]
	return f, nil
}

// poll makes one request, and takes in its answer.
func (p *pollLink) poll(ctx context.Context, wait string, frames []byte) error {
	res, err := p.post(ctx, "/v1/poll?wait="+wait, p.body(frames))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		frame, err := asFrame(res, firstOf(p.connect, frames))
		if err != nil {
			return err
		}
		p.frames, p.code = append(p.frames, frame), read(frame).Code
		return nil
	}
	answer, err := io.ReadAll(res.Body)
	if err = firstError(err, res.Body.Close()); err != nil {
		return err
	}
	var got []json.RawMessage
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("%w in %s", err, clip(answer))
	}
	return p.take(got)
}

// body is what a poll says: who the client is, where it was, and what it has to say now.
func (p *pollLink) body(frames []byte) []byte {
	connect := bytes.TrimSuffix(bytes.TrimSpace(p.connect), []byte("}"))
	var b []byte
	if len(connect) > 0 {
		b = append(b, connect...)
		if p.key != "" {
			b = fmt.Appendf(b, `,"session_key":%q`, p.key)
		}
		b = append(b, "}\n"...)
	}
	if p.cursor != "" {
		b = fmt.Appendf(b, `{"type":"subscribe","cursor":%q}`+"\n", p.cursor)
	}
	return append(b, frames...)
}

// take takes in the frames of an answer. The client has seen a welcome already after the first, and knows what it is subscribed to.
func (p *pollLink) take(got []json.RawMessage) error {
	if len(got) == 0 || typeOf(got[len(got)-1]) != "cursor" {
		return fmt.Errorf("the answer does not end with a cursor: %s", got)
	}
	for i, f := range got {
		head := read(f)
		switch {
		case i == len(got)-1:
			p.cursor = head.Cursor
		case head.Type == "welcome":
			p.key = head.SessionKey
			if !p.greeted {
				p.greeted = true
				p.frames = append(p.frames, f)
			}
		case head.Type == "subscribed" && head.Ref == nil && p.follows[head.Channel]:
			// of the cursor
		default:
			if head.Type == "subscribed" {
				p.follows[head.Channel] = true
			}
			if head.Type == "error" && head.Code < 4300 {
				p.code = head.Code
			}
			p.frames = append(p.frames, f)
		}
	}
	return nil
}

func (p *pollLink) end(within time.Duration) (int, error) {
	if f, err := p.next(within); err == nil {
		return 0, fmt.Errorf("a frame came instead of the end: %s", clip(f))
	}
	if p.code == 0 {
		return 0, fmt.Errorf("not ended within %v", within)
	}
	return p.code, nil
}

func (p *pollLink) hangup(int, time.Duration) error { return p.send([]byte(`{"type":"close"}`)) }

// drop has nothing to cut: between two polls there is no connection.
func (p *pollLink) drop() {}
