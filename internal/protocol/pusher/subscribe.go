package pusher

import (
	"encoding/json"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// cacheFor is how old the newest message of a cache channel may be to be sent to who subscribes.
const cacheFor = 30 * time.Minute

// subscription is what a client says to subscribe.
type subscription struct {
	Channel     string  `json:"channel"`
	Auth        string  `json:"auth"`
	ChannelData *string `json:"channel_data"`
}

func (r *request) subscribe() error {
	var d subscription
	if bad := r.into(&d); bad != nil {
		return bad
	}
	if d.Channel == "" {
		return refuse(hub.CodeBadRequest, "Invalid message: channel is missing")
	}
	if err := r.begin(&d); err != nil {
		r.failSubscribe(d.Channel, err)
	}
	return nil
}

// begin subscribes to a channel, or says why not.
func (r *request) begin(d *subscription) error {
	if bad := r.h.app.checkName(d.Channel); bad != nil {
		return bad
	}
	if r.h.following(d.Channel) != nil {
		return refuse(hub.CodeBadRequest, "Existing subscription to channel %s", clip(d.Channel))
	}
	k := kindOf(d.Channel)
	if err := r.authorize(d, k); err != nil {
		return err
	}
	f := &follow{kind: k, placed: r.h.pulling.positions.Load()}
	if k.presence {
		if err := r.enter(d, f); err != nil {
			return err
		}
	}
	err := r.start(d.Channel, f)
	if err != nil && k.presence {
		_ = r.s.Leave(d.Channel, f.member) // it has entered
	}
	return err
}

// authorize asks whether the client may follow a channel of this kind.
func (r *request) authorize(d *subscription, k kind) error {
	if k.user {
		if user := r.h.signedInAs(); user == "" || d.Channel != serverToUser+user {
			return refuse(hub.CodeForbidden, "Channel %s is followed by connections that are signed in as its user", clip(d.Channel))
		}
		return nil
	}
	if !k.signed {
		return nil
	}
	text := r.h.socketID + ":" + d.Channel
	if d.ChannelData != nil {
		text += ":" + *d.ChannelData
	}
	if !r.h.signed(r.h.app, d.Auth, []byte(text)) {
		return refuse(hub.CodeUnauthorized, "Invalid signature: Expected HMAC SHA256 hex digest of %s, but got %s", clip(text), clip(d.Auth))
	}
	r.h.shown()
	return nil
}

// enter makes the connection stand for the member that its signature names, or else for the user who has signed in.
func (r *request) enter(d *subscription, f *follow) error {
	data, err := r.memberOf(d, f)
	if err != nil {
		return err
	}
	if a := r.h.app; a.StrictLimits {
		if len(f.member) > strictUserIDBytes || len(data) > strictMemberBytes {
			return refuse(hub.CodeLimit, "user_id has at most %d bytes and user_info %d", strictUserIDBytes, strictMemberBytes)
		}
		if err := r.h.room(a, d.Channel, f.member); err != nil {
			return err
		}
	}
	return r.s.Enter(d.Channel, f.member, data)
}

// memberOf sets the member, and returns what others are told of it.
func (r *request) memberOf(d *subscription, f *follow) (data []byte, err error) {
	if d.ChannelData == nil {
		r.h.mu.Lock()
		u := r.h.user
		r.h.mu.Unlock()
		if u == nil {
			return nil, refuse(hub.CodeBadRequest, "Invalid channel_data: a presence channel needs it, or a user who has signed in")
		}
		f.member = u.ID
		return info(u.Info), nil
	}
	var m member
	if err := json.Unmarshal([]byte(*d.ChannelData), &m); err != nil {
		return nil, refuse(hub.CodeBadRequest, "Invalid channel_data: %s", clip(err.Error()))
	}
	id, ok := m.id()
	if !ok {
		return nil, refuse(hub.CodeBadRequest, "Invalid channel_data: user_id must be a string or a number, and not empty")
	}
	f.member = id
	return info(m.UserInfo), nil
}

// room refuses a member that would be one too many for Pusher.
func (h *Handler) room(a *app, channel, id string) error {
	members, _, err := h.Hub.Members(a.server, channel)
	if err != nil || len(members) < strictMembers {
		return err
	}
	for _, m := range members {
		if m.ID == id {
			return nil
		}
	}
	return refuse(hub.CodeLimit, "Presence channel %s has its %d members", clip(channel), strictMembers)
}

// start subscribes where the client has asked to go on, with the newest message of a cache, or at the tail.
func (r *request) start(channel string, f *follow) error {
	var from hub.From
	miss := false
	if at, ok := r.h.resume[channel]; ok {
		delete(r.h.resume, channel)
		from.After = &at
	} else if f.kind.cache {
		cached, err := r.h.cached(r.s, channel)
		if err != nil {
			return err
		}
		if miss = cached == nil; !miss {
			from.Last = 1
		}
	}
	if !r.h.add(channel, f) {
		return refuse(hub.CodeUnavailable, "the connection has ended")
	}
	err := r.s.Subscribe(channel, from, f.kind.presence, r.n, func(at hub.Position, _ hub.Deliver) (any, int) {
		if f.kind.presence {
			return answer{joins: channel, join: join{at, miss}}, 0
		}
		a := answer{frames: r.h.succeeded(channel, "{}", join{at, miss})}
		return a, len(a.frames[0])
	})
	if err != nil {
		r.h.remove(channel)
		return err
	}
	if miss {
		r.h.Backends.CacheMiss(hub.Channel{App: r.h.app.ID, Name: channel})
	}
	r.h.countChanged(r.h.app, channel, f.kind)
	return nil
}

func (h *Handler) add(channel string, f *follow) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.follow[channel] = f
	}
	return !h.closed
}

func (h *Handler) remove(channel string) *follow {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.follow[channel]
	delete(h.follow, channel)
	return f
}

// succeeded is the answer to a subscription, and what comes with it.
func (h *Handler) succeeded(channel, data string, j join) (frames [][]byte) {
	if h.pulling.positions.Load() {
		frames = append(frames, appendPosition(nil, channel, j.at))
	}
	frames = append(frames, appendFrame(nil, "pusher_internal:subscription_succeeded", channel, data))
	if j.miss {
		frames = append(frames, append(appendHead(nil, "pusher:cache_miss", channel), '}'))
	}
	return frames
}

// cached is the message that a cache channel has for who subscribes, or nil.
func (h *Handler) cached(s *hub.Session, channel string) (*hub.Message, error) {
	page, err := h.Hub.History(s.Context(), h.app.server, channel, hub.Query{Last: 1, Limit: 1})
	if err != nil || len(page.Messages) == 0 || time.Since(page.Messages[0].When()) > cacheFor {
		return nil, err
	}
	return page.Messages[0], nil
}

func (r *request) unsubscribe() error {
	var d subscription
	if bad := r.into(&d); bad != nil {
		return bad
	}
	f := r.h.remove(d.Channel)
	if f == nil {
		return refuse(hub.CodeNotSubscribed, "No current subscription to channel %s, or subscription in progress", clip(d.Channel))
	}
	if err := r.s.Unsubscribe(d.Channel, r.n, answer{}, 0); err != nil {
		return err
	}
	if f.kind.presence {
		_ = r.s.Leave(d.Channel, f.member) // a rule may have turned presence off, and then nobody is there
	}
	r.h.countChanged(r.h.app, d.Channel, f.kind)
	return nil
}

// clientEvent sends an event to the others of a channel. It is not stored: who is not there misses it, as with Pusher.
func (r *request) clientEvent() error {
	f := r.h.following(r.Channel)
	k := kindOf(r.Channel)
	switch {
	case !r.h.app.ClientEvents:
		return refuse(hub.CodeBadRequest, "To send client events, you must enable this feature: client_events of the app's [app.pusher]")
	case r.Channel == "" || len(r.Data) == 0:
		return refuse(hub.CodeBadRequest, "Invalid client event (must contain channel and data)")
	case !k.signed || k.encrypted:
		return refuse(hub.CodeBadRequest, "Client event rejected - only supported on private and presence channels")
	case f == nil:
		return refuse(hub.CodeNotSubscribed, "Cannot broadcast client event (connection not subscribed to channel %s)", clip(r.Channel))
	case !r.h.events.allow(r.h.app.ClientEventRate):
		return refuse(hub.CodeRateLimited, "The rate limit for sending client events exceeded: %d a second", r.h.app.ClientEventRate)
	case r.h.app.StrictLimits && (len(r.Event) > strictEventBytes || len(r.Data) > strictDataBytes):
		return refuse(hub.CodeLimit, "A client event's name has at most %d bytes, its data %d", strictEventBytes, strictDataBytes)
	}
	data, headers := []byte(r.Data), asValue
	if data[0] == '"' {
		var err error
		if data, headers, err = store(r.Data); err != nil {
			return badJSON(err)
		}
	}
	if f.grant == nil {
		f.grant = r.h.app.publisher(f.member)
	}
	err := r.h.Hub.Publish(f.grant, []hub.Publication{{
		Channels: []string{r.Channel}, Event: r.Event, Data: data, Headers: headers, Exclude: r.s.ID(), Ephemeral: true,
	}}, func([]hub.Result) {})
	if err != nil {
		return err
	}
	r.h.Backends.ClientEvent(hub.Channel{App: r.h.app.ID, Name: r.Channel}, r.Event, r.Data, r.h.socketID, f.member)
	return r.done()
}
