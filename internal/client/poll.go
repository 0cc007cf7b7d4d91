package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"
)

var (
	errLinkClosed  = errors.New("the connection was closed")
	errInterrupted = errors.New("there is something to send")
	errEndOfPolls  = errors.New("the server has ended the session")
	// errRefused has the client connect anew: then each subscription and membership is asked for by itself, and it is seen which one is refused.
	errRefused = errors.New("a subscription or membership is refused")
)

// maxPollWait is the longest that a server lets a poll wait.
const maxPollWait = 25 * time.Second

// pollLink is a link by polls, each of which brings where the client is. There is never more than one: a second one would take over the session, and an answer on
// its way to the first would be lost. So what is to be sent interrupts the poll that waits and goes with the next one; nothing is lost by that, because the
// cursor moves only with an answer that was read to its end. A poll that carries something is not interrupted and does not wait.
type pollLink struct {
	server   *server
	ctx      context.Context
	cancel   context.CancelCauseFunc
	hello    request
	standing func() [][]byte // what every poll says again

	// Of the reading goroutine.
	wait, silence time.Duration
	cursor        string
	carried       *parcel // its answer has been read
	end           error   // what the next read returns

	mu        sync.Mutex
	waiting   *parcel                 // goes with the next poll
	interrupt context.CancelCauseFunc // of the poll under way, if it carries nothing
}

// parcel is what is sent with one poll.
type parcel struct {
	frames [][]byte
	last   bool          // the client leaves
	done   chan struct{} // closed when the answer has been handled
}

func newPollLink(s *server, hello request, standing func() [][]byte) *pollLink {
	p := &pollLink{server: s, hello: hello, standing: standing, silence: handshakeTimeout}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	return p
}

func (p *pollLink) greeted(w *frame, silence time.Duration) {
	p.silence = silence
	p.wait = min(time.Duration(w.Heartbeat)*time.Millisecond, maxPollWait)
}

func (p *pollLink) close() { p.cancel(errLinkClosed) }

// send waits until the answers to the frames have been handled: a refusal among them may hold back what would be sent next.
func (p *pollLink) send(frames [][]byte) error { return p.deliver(&parcel{frames: frames}) }

func (p *pollLink) leave() error { return p.deliver(&parcel{frames: [][]byte{closeFrame}, last: true}) }

func (p *pollLink) deliver(a *parcel) error {
	a.done = make(chan struct{})
	p.mu.Lock()
	p.waiting = a
	if p.interrupt != nil {
		p.interrupt(errInterrupted)
	}
	p.mu.Unlock()
	select {
	case <-a.done:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

func (p *pollLink) read() ([]frame, error) {
	if p.carried != nil {
		close(p.carried.done)
		p.carried = nil
	}
	if p.end != nil {
		return nil, p.end
	}
	for {
		frames, err := p.poll()
		if !errors.Is(err, errInterrupted) {
			return frames, err
		}
	}
}

// poll makes one request and takes in its answer.
func (p *pollLink) poll() ([]frame, error) {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	carries, wait := p.begin(cancel)
	w := newWatch(p.silence, cancel)
	defer w.stop()
	response, err := p.server.post(ctx, "/v1/poll?wait="+strconv.FormatFloat(wait.Seconds(), 'f', 3, 64), p.body(carries))
	if err != nil {
		return nil, whyEnded(ctx, err)
	}
	body, err := io.ReadAll(w.over(response.Body))
	_ = response.Body.Close() // it was read to its end, or that has failed
	if err != nil {
		return nil, whyEnded(ctx, err)
	}
	p.mu.Lock()
	p.interrupt = nil
	p.mu.Unlock()
	var frames []frame
	if err := json.Unmarshal(body, &frames); err != nil {
		return nil, notAFrame(body)
	}
	return frames, p.take(frames, carries)
}

// begin takes what is to be sent, or makes the poll one that may be interrupted.
func (p *pollLink) begin(cancel context.CancelCauseFunc) (carries *parcel, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	carries, p.waiting = p.waiting, nil
	if carries != nil {
		p.interrupt = nil
		return carries, 0
	}
	p.interrupt = cancel
	return nil, p.wait
}

// body says who the client is, where it was, what it stands for and what it has to say.
func (p *pollLink) body(carries *parcel) []byte {
	b := p.hello.encode(nil)
	leaves := carries != nil && carries.last
	if p.cursor != "" && !leaves {
		r := request{Type: "subscribe", Cursor: p.cursor}
		b = append(append(b, '\n'), r.encode(nil)...)
		for _, f := range p.standing() {
			b = append(append(b, '\n'), f...)
		}
	}
	if carries != nil {
		b = append(append(b, '\n'), join(carries.frames)...)
	}
	return b
}

// take moves the cursor, and finds what ends the connection.
func (p *pollLink) take(frames []frame, carried *parcel) error {
	if len(frames) == 0 || frames[len(frames)-1].Type != "cursor" {
		return errors.New("the answer to a poll does not end with a cursor")
	}
	p.cursor, p.carried = frames[len(frames)-1].Cursor, carried
	if carried != nil && carried.last {
		p.end = errEndOfPolls
	}
	for i := range frames {
		f := &frames[i]
		switch {
		case f.Type == "welcome" && f.SessionKey != "":
			p.hello.SessionKey = f.SessionKey
		case f.Type == "error" && f.Ref == 0 && f.Code.Reconnect() != "stay":
			p.end = errEndOfPolls
		case f.Type == "error" && f.Ref == 0 && f.Channel != "":
			p.end = errRefused
		}
	}
	return nil
}
