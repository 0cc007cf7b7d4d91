package native

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"

	"github.com/snoserver/sno/internal/hub"
)

// maxPosts is how many requests of one session may wait for those before them.
const maxPosts = 8

// splitBody returns the frames of a request's body: objects and arrays of objects, one after the other.
func splitBody(body []byte) ([]json.RawMessage, *hub.Error) {
	var all []json.RawMessage
	if err := checkText(body); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		var value json.RawMessage
		err := d.Decode(&value)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, badJSON(err)
		}
		frames, bad := splitFrames(value)
		if bad != nil {
			return nil, bad
		}
		all = append(all, frames...)
	}
}

// Send carries out what a client sends beside its stream. The first frame, a connect frame, names the session; the answers go down the stream.
func (p *Protocol) Send(body []byte) *hub.Error {
	frames, bad := splitBody(body)
	if bad != nil {
		return bad
	}
	if len(frames) == 0 {
		return hub.Errorf(hub.CodeBadHandshake, "the body is empty: send {\"type\":\"connect\",\"session\":…,\"session_key\":…} and frames behind it")
	}
	f, bad := decodeFrame(frames[0])
	if bad != nil {
		return bad
	}
	if f.Type != "connect" || f.Session == "" || f.SessionKey == "" {
		return hub.Errorf(hub.CodeBadHandshake, "the first frame must be {\"type\":\"connect\",\"session\":…,\"session_key\":…} with what welcome said")
	}
	v, _ := p.streams.Load(f.Session)
	h, found := v.(*Handler)
	var s *hub.Session
	if found {
		s = h.session.Load() // nil: it is about to begin
	}
	if s == nil || subtle.ConstantTimeCompare([]byte(s.Key()), []byte(f.SessionKey)) != 1 {
		return hub.Errorf(hub.CodeNotFound, "there is no such session here: it has ended, or it is not one of a stream; connect anew")
	}
	if f.Time != nil && *f.Time != h.greeted {
		return hub.Errorf(hub.CodeNotFound, "this was meant for an earlier connection of the session; nothing of it was done")
	}
	return h.post(frames[1:])
}

// post carries out frames, after those that came before.
func (h *Handler) post(frames []json.RawMessage) *hub.Error {
	if h.posts.Add(1) > maxPosts {
		h.posts.Add(-1)
		return hub.Errorf(hub.CodeRateLimited, "%d requests of this session wait for those before them; send one after the other", maxPosts)
	}
	defer h.posts.Add(-1)
	h.receiving.Lock()
	defer h.receiving.Unlock()
	h.frames(frames)
	return nil
}
