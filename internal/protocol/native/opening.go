package native

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/nearest"
)

// parameters are those of a query that opens a connection. The last ones are for others to read.
var parameters = []string{"channel", "cursor", "epoch", "offset", "last", "since", "presence", "session_key", "app", "token", "wait"}

// opening is a frame as a query makes it.
type opening struct {
	Type       string          `json:"type"`
	App        string          `json:"app,omitempty"`
	SessionKey string          `json:"session_key,omitempty"`
	Channel    string          `json:"channel,omitempty"`
	Cursor     string          `json:"cursor,omitempty"`
	Epoch      *string         `json:"epoch,omitempty"`
	Offset     *uint64         `json:"offset,omitempty"`
	Last       json.RawMessage `json:"last,omitempty"`
	Since      json.RawMessage `json:"since,omitempty"`
	Presence   bool            `json:"presence,omitempty"`
	Version    uint64          `json:"version,omitempty"`
}

// Opening makes the frames of a client that has nothing but a URL: connect, and a subscribe for each channel. lastEventID is the cursor token that a
// browser's EventSource comes back with; it goes before the parameter cursor.
func Opening(query, lastEventID string) ([]byte, *hub.Error) {
	q, bad := url.ParseQuery(query)
	if bad != nil {
		return nil, hub.Errorf(hub.CodeBadRequest, "the query string is malformed: %s", clip(bad.Error()))
	}
	if err := checkParameters(q); err != nil {
		return nil, err
	}
	token := q.Get("cursor")
	if lastEventID != "" {
		token = lastEventID
	}
	first, err := begin(q)
	if err != nil {
		return nil, err
	}
	frames := []opening{{Type: "connect", App: q.Get("app"), SessionKey: q.Get("session_key")}}
	switch channels := q["channel"]; {
	case len(channels) > maxEventChannels:
		return nil, hub.Errorf(hub.CodeLimit, "the URL names %d channels; the limit is %d. POST subscribe frames instead", len(channels), maxEventChannels)
	case len(channels) > 0:
		var at hub.Cursors
		if token != "" {
			if at, err = decodeToken(token); err != nil {
				return nil, err
			}
		}
		for _, channel := range channels {
			frames = append(frames, first.of(channel, at))
		}
	case token != "":
		frames = append(frames, opening{Type: "subscribe", Cursor: token})
	}
	b, _ := json.Marshal(frames) // strings and numbers only
	return b, nil
}

func checkParameters(q url.Values) *hub.Error {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(parameters, name) {
			if meant := nearest.Name(name, parameters); meant != "" {
				return hub.Errorf(hub.CodeBadRequest, "there is no parameter %q; did you mean %q?", clip(name), meant)
			}
			return hub.Errorf(hub.CodeBadRequest, "there is no parameter %q; there are %s", clip(name), strings.Join(parameters, ", "))
		}
		if n := len(q[name]); n > 1 && name != "channel" {
			return hub.Errorf(hub.CodeBadRequest, "%s stands there %d times; give it once", name, n)
		}
	}
	return nil
}

// begin reads where every channel of a query begins.
func begin(q url.Values) (opening, *hub.Error) {
	o := opening{Type: "subscribe"}
	switch q.Get("presence") {
	case "", "false", "0":
	case "true", "1":
		o.Presence = true
	default:
		return o, hub.Errorf(hub.CodeBadRequest, "presence is %q; it must be true or false", clip(q.Get("presence")))
	}
	if s := q.Get("last"); s != "" {
		if _, err := strconv.Atoi(s); err != nil {
			return o, hub.Errorf(hub.CodeBadRequest, "last is %q; it must be a number of messages", clip(s))
		}
		o.Last = json.RawMessage(strings.TrimPrefix(s, "+"))
	}
	if s := q.Get("since"); s != "" {
		// A '+' that was not written as %2B has become a blank; no form of since has one.
		o.Since, _ = json.Marshal(strings.ReplaceAll(s, " ", "+"))
	}
	if q.Has("epoch") || q.Has("offset") {
		epoch, s := q.Get("epoch"), q.Get("offset")
		offset, err := strconv.ParseUint(s, 10, 64)
		if err != nil || len(q["channel"]) != 1 {
			return o, hub.Errorf(hub.CodeBadRequest, "epoch and offset are the position in one channel, and offset a number; for several channels give a cursor")
		}
		o.Epoch, o.Offset = &epoch, &offset
	}
	return o, nil
}

func decodeToken(token string) (hub.Cursors, *hub.Error) {
	at, err := hub.DecodeCursors(token)
	if err != nil {
		shown, _ := hub.Show(err)
		return nil, shown
	}
	return at, nil
}

// of is the subscription of a channel: where a token says, or where the query does.
func (o opening) of(channel string, at hub.Cursors) opening {
	o.Channel = channel
	if c := at.Of(channel); c != nil {
		o.Last, o.Since, o.Epoch, o.Offset = nil, nil, &c.Epoch, &c.Offset
		o.Version = c.Version
		o.Presence = o.Presence || c.Presence
	}
	return o
}
