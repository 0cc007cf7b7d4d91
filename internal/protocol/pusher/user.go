package pusher

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// maxWatched is how many users one may watch.
const maxWatched = 100

// user is who has signed in on a connection.
type user struct {
	ID        string          `json:"id"`
	Info      json.RawMessage `json:"user_info"`
	Watchlist []string        `json:"watchlist"`
}

// signIn is of a client whose app's backend vouches for its user.
func (r *request) signIn() error {
	var d struct {
		Auth     string `json:"auth"`
		UserData string `json:"user_data"`
	}
	if bad := r.into(&d); bad != nil {
		return bad
	}
	text := r.h.socketID + "::user::" + d.UserData
	if !r.h.signed(r.h.app, d.Auth, []byte(text)) {
		return refuse(hub.CodeUnauthorized, "Invalid signature: Expected HMAC SHA256 hex digest of %s, but got %s", clip(text), clip(d.Auth))
	}
	u := new(user)
	if err := json.Unmarshal([]byte(d.UserData), u); err != nil {
		return refuse(hub.CodeBadRequest, "Invalid user_data: %s", clip(err.Error()))
	}
	if u.ID == "" || len(u.ID) > hub.MaxIDBytes {
		return refuse(hub.CodeBadRequest, "Invalid user_data: id must be a string of 1 to %d bytes", hub.MaxIDBytes)
	}
	switch before := r.h.signedInAs(); {
	case before == u.ID: // again
		u.Watchlist = nil
	case before != "":
		return refuse(hub.CodeUnauthorized, "This connection is signed in as user %s already", clip(before))
	default:
		if err := r.become(u); err != nil {
			return err
		}
	}
	r.h.shown()
	data := messagejson.AppendString([]byte(`{"user_data":`), d.UserData)
	r.answer(appendFrame(nil, "pusher:signin_success", "", string(append(data, '}'))))
	r.watch(u.Watchlist)
	return nil
}

// become makes the connection the user's. Others can see that the user is there, if a rule does not turn presence off.
func (r *request) become(u *user) error {
	err := r.s.Enter(online+u.ID, u.ID, nil)
	if shown, ok := hub.Show(err); err != nil && (!ok || shown.Code != hub.CodeForbidden) {
		return err
	}
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	r.h.user = u
	return nil
}

// watch follows who of some users is there.
func (r *request) watch(users []string) {
	if len(users) > maxWatched {
		users = users[:maxWatched]
		r.tell(appendError(nil, codeWatchlist, fmt.Sprintf("The watchlist has more than %d users; the first %[1]d are watched", maxWatched)))
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(users))) {
		if id == "" || r.s.Reserve(0) != nil {
			continue
		}
		err := r.s.Subscribe(online+id, hub.From{}, true, 0, func(hub.Position, hub.Deliver) (any, int) { return answer{}, 0 })
		if err != nil {
			shown := r.h.show("watchlist", err)
			frame := appendError(nil, errorCode(shown), shown.Text)
			r.s.Answer(0, answer{frames: [][]byte{frame}}, len(frame))
		}
	}
}

// tell sends a frame besides the answer.
func (r *request) tell(frame []byte) {
	if r.s.Reserve(0) == nil {
		r.s.Answer(0, answer{frames: [][]byte{frame}}, len(frame))
	}
}

// watched is what one Pull has to say of users who come and go.
type watched map[string]bool

// note takes note of the members of a channel that tells of a user, and reports whether it is one.
func (w *watched) note(channel string, there bool) bool {
	id, ok := strings.CutPrefix(channel, online)
	if ok {
		if *w == nil {
			*w = watched{}
		}
		(*w)[id] = there
	}
	return ok
}

// append appends the frame that says it.
func (w watched) append(dst []byte) []byte {
	type event struct {
		Name  string   `json:"name"`
		Users []string `json:"user_ids"`
	}
	var events []event
	for _, is := range []struct {
		name  string
		there bool
	}{{"online", true}, {"offline", false}} {
		var ids []string
		for _, id := range slices.Sorted(maps.Keys(w)) {
			if w[id] == is.there {
				ids = append(ids, id)
			}
		}
		if ids != nil {
			events = append(events, event{is.name, ids})
		}
	}
	data, _ := json.Marshal(map[string]any{"events": events}) // strings
	return appendFrame(dst, "pusher_internal:watchlist_events", "", string(data))
}
