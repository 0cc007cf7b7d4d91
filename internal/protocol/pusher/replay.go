package pusher

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/snoserver/sno/internal/hub"
)

// Events of ours, which only a client that has sent the first of them is ever sent. With them an app can tell where it was when it comes back, by what pusher-js has: send_event, and
// the events of its connection.
const (
	// eventResume is sent by a client before it subscribes: where it was in each of its channels, or {}.
	eventResume = "sno:resume"
	// eventPosition says where a client is in a channel once it has the next event of it.
	eventPosition = "sno:position"
	// eventSkipped stands for an event that the client has sent itself.
	eventSkipped = "sno:skipped"
	// eventReset says that events are missing before the next one of a channel.
	eventReset = "sno:reset"
)

// resume takes where the client's channels are to go on.
func (r *request) resume() error {
	var at map[string]string
	if bad := r.into(&at); bad != nil {
		return bad
	}
	if limit := r.h.Hub.Limits().Subscriptions; len(at) > limit {
		return refuse(hub.CodeLimit, "%s names %d channels; the limit is %d", eventResume, len(at), limit)
	}
	positions := make(map[string]hub.Position, len(at))
	for channel, text := range at {
		epoch, offset, _ := cutLast(text, ':')
		n, err := strconv.ParseUint(offset, 10, 64)
		if err != nil || n > hub.MaxOffset {
			return refuse(hub.CodeBadRequest, "%s: %q is not what %s has said of a channel", eventResume, clip(text), eventPosition)
		}
		positions[channel] = hub.Position{Epoch: epoch, Offset: n}
	}
	var late [][]byte
	for _, channel := range slices.Sorted(maps.Keys(positions)) {
		f := r.h.following(channel)
		if f == nil {
			continue
		}
		if delete(positions, channel); !f.placed {
			f.placed = true
			late = append(late, appendReset(nil, channel, resetLate))
		}
	}
	if r.h.resume == nil {
		r.h.resume = positions
	} else {
		maps.Copy(r.h.resume, positions)
	}
	r.h.pulling.positions.Store(true)
	if late == nil {
		return r.done()
	}
	r.answer(late...)
	return nil
}

// resetLate is why a channel does not go on where it was: it was subscribed to before the client said where that is. Requests of a client without WebSocket may overtake each other.
const resetLate hub.Reset = "late"

func appendPosition(dst []byte, channel string, p hub.Position) []byte {
	return appendFrame(dst, eventPosition, channel, p.String())
}

func appendReset(dst []byte, channel string, why hub.Reset) []byte {
	data, _ := json.Marshal(map[string]string{"reason": string(why)}) // strings
	return appendFrame(dst, eventReset, channel, string(data))
}
