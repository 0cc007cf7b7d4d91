package pusher

import (
	"encoding/json"
	"strings"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/problem"
)

// request is one frame on its way. It has a place for its answer reserved, which exactly one of answer, done, and a call of the session that answers, gives back.
type request struct {
	*frame
	h *Handler
	s *hub.Session
	n int // bytes reserved
}

// answer is what the session keeps for us until it is pulled.
type answer struct {
	frames [][]byte
	// joins is a presence channel whose answer has to wait for its members.
	joins string
	join  join
}

// join is the answer to who has subscribed to a presence channel, as far as it is known before the members are.
type join struct {
	at   hub.Position
	miss bool // there is nothing in its cache
}

var requests = map[string]func(*request) error{
	"pusher:ping":        (*request).ping,
	"pusher:pong":        (*request).done,
	"pusher:subscribe":   (*request).subscribe,
	"pusher:unsubscribe": (*request).unsubscribe,
	"pusher:signin":      (*request).signIn,
	eventResume:          (*request).resume,
}

func (r *request) carryOut() error {
	do := requests[r.Event]
	switch {
	case do != nil:
		return do(r)
	case strings.HasPrefix(r.Event, "client-"):
		return r.clientEvent()
	}
	return refuse(hub.CodeBadRequest, "Invalid event %q: clients send client events, whose names begin with client-, and those of the protocol", clip(r.Event))
}

func (r *request) answer(frames ...[]byte) {
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	r.s.Answer(r.n, answer{frames: frames}, size)
}

// done ends a request that is not answered.
func (r *request) done() error {
	r.s.Release(r.n)
	return nil
}

// fail answers with a pusher:error.
func (r *request) fail(err error) {
	shown := r.h.show(r.what(), err)
	r.answer(appendError(nil, errorCode(shown), shown.Text))
}

func (r *request) what() string {
	if r.frame == nil {
		return ""
	}
	return clip(r.Event)
}

func (r *request) ping() error {
	r.answer([]byte(`{"event":"pusher:pong","data":"{}"}`))
	return nil
}

// failSubscribe answers that a subscription was refused.
func (r *request) failSubscribe(channel string, err error) { r.answer(r.refusal(channel, err)...) }

// refusal is a pusher:error, as Pusher sends it, and before it an event on the channel, which is where an app looks.
func (r *request) refusal(channel string, err error) [][]byte {
	shown := r.h.show(r.what(), err)
	kind := "SubscriptionError"
	if errorCode(shown) == codeUnauthorized {
		kind = "AuthError"
	}
	data, _ := json.Marshal(map[string]any{"type": kind, "error": shown.Text, "status": problem.Status(shown.Code)}) // strings and a number
	return [][]byte{appendFrame(nil, "pusher:subscription_error", channel, string(data)), appendError(nil, errorCode(shown), shown.Text)}
}
