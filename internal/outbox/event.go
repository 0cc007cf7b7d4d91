package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
)

// The types of events, as Pusher named them.
const (
	ChannelOccupied   = "channel_occupied"
	ChannelVacated    = "channel_vacated"
	MemberAdded       = "member_added"
	MemberRemoved     = "member_removed"
	ClientEvent       = "client_event"
	CacheMiss         = "cache_miss"
	SubscriptionCount = "subscription_count"
)

// Types are all types of events.
var Types = []string{ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved, ClientEvent, CacheMiss, SubscriptionCount}

// MaxDataBytes bounds Event.Data.
const MaxDataBytes = 1 << 20

// Event is something that has happened on a channel and that a backend may want to know.
type Event struct {
	// Type is one of Types.
	Type    string
	Channel string
	// Member is whom it is about: who was added or removed, or who has sent a client event, if that is known.
	Member string
	// Name, Data and Session are a client event's name, its data (one JSON value, at most MaxDataBytes, or nil) and the session that sent it.
	Name    string
	Data    []byte
	Session string
	// Count is how many subscriptions there are, for subscription_count.
	Count int
}

func (e *Event) check() error {
	switch {
	case !slices.Contains(Types, e.Type):
		return fmt.Errorf("there is no type of event %q", e.Type)
	case e.Channel == "":
		return errors.New("an event is of a channel")
	case len(e.Data) > MaxDataBytes:
		return fmt.Errorf("the data of an event has %d bytes; the limit is %d", len(e.Data), MaxDataBytes)
	case e.Data != nil && !json.Valid(e.Data):
		return errors.New("the data of an event is not JSON")
	}
	for _, s := range []string{e.Channel, e.Member, e.Name, e.Session} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q is not UTF-8", s)
		}
	}
	return nil
}

// record is an event in the log.
type record struct {
	Event
	ID   string
	Time int64 // when it happened, in Unix milliseconds
	// To is the only endpoint that it is for; empty: all. It is set when a dead letter is sent again.
	To     string
	Logged int64 // when the log took it: later than Time if it is sent again
	Offset uint64
}

// stored is how the log has a record. The type is the message's event, the id is the message's.
type stored struct {
	Channel string          `json:"channel"`
	Member  string          `json:"member,omitempty"`
	Name    string          `json:"name,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Session string          `json:"session,omitempty"`
	Count   int             `json:"count,omitempty"`
	// To, ID and Time are those of a record that is sent again.
	To   string `json:"to,omitempty"`
	ID   string `json:"id,omitempty"`
	Time int64  `json:"time,omitempty"`
}

func (r *record) stored() stored {
	s := stored{Channel: r.Channel, Member: r.Member, Name: r.Name, Data: r.Data, Session: r.Session, Count: r.Count}
	if r.To != "" {
		s.To, s.ID, s.Time = r.To, r.ID, r.Time
	}
	return s
}

// message is the record as a message of the log.
func (r *record) message(app string) (*hub.Message, error) {
	data, err := json.Marshal(r.stored())
	if err != nil {
		return nil, err
	}
	m := &hub.Message{Channel: hub.Channel{App: app, Name: eventsChannel}, ID: r.ID, Event: r.Type, Data: data}
	if r.To != "" {
		m.ID, m.OwnID = "", true // the id has been in the log
	}
	return m, nil
}

// readRecord is the inverse of message, for a message that the log has taken.
func readRecord(m *hub.Message) (record, error) {
	var s stored
	if err := json.Unmarshal(m.Data, &s); err != nil {
		return record{}, fmt.Errorf("event %s: %w", m.Position(), err)
	}
	r := s.record(m.Event)
	if r.Logged, r.Offset = m.Time, m.Offset; s.To == "" {
		r.ID, r.Time = m.ID, m.Time
	}
	return r, r.check()
}

func (s *stored) record(kind string) record {
	return record{
		Event: Event{Type: kind, Channel: s.Channel, Member: s.Member, Name: s.Name, Data: s.Data, Session: s.Session, Count: s.Count},
		ID:    s.ID, Time: s.Time, To: s.To,
	}
}
