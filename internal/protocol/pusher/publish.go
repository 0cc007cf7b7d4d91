package pusher

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/snoserver/sno/internal/hub"
)

// maxBatch is how many events a batch may have, unless the app has strict limits.
const maxBatch = 100

// event is one to publish, as a body has it.
type event struct {
	Name     string          `json:"name"`
	Data     json.RawMessage `json:"data"`
	Channel  string          `json:"channel"`
	Channels []string        `json:"channels"`
	SocketID string          `json:"socket_id"`
	Info     string          `json:"info"`
	// ID makes it repeatable; the protocol itself has nothing like it.
	ID string `json:"id"`
}

// events is POST …/events.
func (c *call) events() (any, error) {
	var e event
	if err := c.decode(&e); err != nil {
		return nil, err
	}
	if e.Channels == nil {
		e.Channels = []string{e.Channel}
	} else if e.Channel != "" {
		return nil, hub.Errorf(hub.CodeBadRequest, "channel and channels exclude each other: give one")
	}
	if err := c.publish([]event{e}); err != nil {
		return nil, err
	}
	return c.infos(&e)
}

// infos answers what info asks about the channels of an event.
func (c *call) infos(e *event) (any, error) {
	if e.Info == "" {
		return struct{}{}, nil
	}
	channels := map[string]any{}
	for _, name := range e.Channels {
		about, err := c.about(name, e.Info, false)
		if err != nil {
			return nil, err
		}
		channels[name] = about
	}
	return map[string]any{"channels": channels}, nil
}

// batchEvents is POST …/batch_events.
func (c *call) batchEvents() (any, error) {
	var b struct {
		Batch []event `json:"batch"`
	}
	if err := c.decode(&b); err != nil {
		return nil, err
	}
	most := maxBatch
	if c.app.StrictLimits {
		most = strictBatch
	}
	if len(b.Batch) == 0 || len(b.Batch) > most {
		return nil, hub.Errorf(hub.CodeBadRequest, "A batch has 1 to %d events, not %d", most, len(b.Batch))
	}
	asked := false
	for i := range b.Batch {
		e := &b.Batch[i]
		if e.Channels != nil {
			return nil, hub.Errorf(hub.CodeBadRequest, "An event of a batch names one channel")
		}
		e.Channels = []string{e.Channel}
		asked = asked || e.Info != ""
	}
	if err := c.publish(b.Batch); err != nil || !asked {
		return struct{}{}, err
	}
	infos := make([]any, len(b.Batch))
	for i := range b.Batch {
		about, err := c.about(b.Batch[i].Channel, b.Batch[i].Info, false)
		if err != nil {
			return nil, err
		}
		infos[i] = about
	}
	return map[string]any{"batch": infos}, nil
}

// oldEvents is POST …/channels/{channel}/events, which old libraries use: the body is the data.
func (c *call) oldEvents() (any, error) {
	literal, err := json.Marshal(string(c.body))
	if err != nil {
		return nil, err
	}
	e := event{Name: c.sign.get("name"), Data: literal, Channels: []string{c.PathValue("channel")}, SocketID: c.sign.get("socket_id")}
	return struct{}{}, c.publish([]event{e})
}

func (c *call) decode(v any) error {
	if err := json.Unmarshal(c.body, v); err != nil {
		return badJSON(err)
	}
	return nil
}

// publish stores events, each before those behind it, and waits until that is done.
func (c *call) publish(events []event) error {
	pubs := make([]hub.Publication, len(events))
	for i := range events {
		if err := c.publication(&pubs[i], &events[i]); err != nil {
			return err
		}
	}
	if err := c.name(pubs); err != nil {
		return err
	}
	if len(pubs) > 1 {
		order := new(hub.Order) // behind one that could not be stored for now none is stored
		for i := range pubs {
			pubs[i].Order = order
		}
	}
	if done, err := c.p.replays.used(c.sign); done || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), publishTime)
	defer cancel()
	results, err := c.p.Hub.PublishWait(ctx, c.app.server, pubs)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	c.p.replays.remember(c.sign)
	return nil
}

// publication is what the hub is to publish of an event.
func (c *call) publication(to *hub.Publication, e *event) error {
	if err := c.check(e); err != nil {
		return err
	}
	*to = hub.Publication{Channels: e.Channels, Event: e.Name, ID: e.ID}
	if e.SocketID != "" {
		to.Exclude = c.p.sessionOf(c.app, e.SocketID)
	}
	if e.Data[0] != '"' { // what is no string is published as its text
		to.Data = e.Data
		return nil
	}
	var err error
	to.Data, to.Headers, err = store(e.Data)
	return err
}

func (c *call) check(e *event) error {
	for _, name := range e.Channels {
		if bad := c.app.checkName(name); bad != nil {
			return bad
		}
		if _, err := attributes(name, e.Info, false); err != nil { // nothing may be published that is then refused
			return err
		}
	}
	strict := c.app.StrictLimits
	switch {
	case e.Name == "" || reserved(e.Name) || strict && len(e.Name) > strictEventBytes:
		return hub.Errorf(hub.CodeBadRequest, "Invalid event name %q", clip(e.Name))
	case len(e.Data) == 0 || string(e.Data) == "null" || strict && e.Data[0] != '"':
		return hub.Errorf(hub.CodeBadRequest, "Missing required parameter: data must be a string")
	case e.SocketID != "" && !socketID.MatchString(e.SocketID):
		return hub.Errorf(hub.CodeBadRequest, "Invalid socket id: %q", clip(e.SocketID))
	case strict && len(e.Data) > strictDataBytes+2 && textBytes(e.Data) > strictDataBytes:
		return hub.Errorf(hub.CodeMessageTooLarge, "The data content of this event exceeds the allowed maximum (%d bytes)", strictDataBytes)
	}
	return nil
}

// textBytes is how long the string of a literal is.
func textBytes(literal json.RawMessage) int {
	var s string
	_ = json.Unmarshal(literal, &s) // it is one
	return len(s)
}

// name takes an Idempotency-Key for the id of events that have none of their own.
func (c *call) name(pubs []hub.Publication) error {
	key := c.Header.Get("Idempotency-Key")
	if key == "" {
		return nil
	}
	if len(c.Header.Values("Idempotency-Key")) > 1 {
		return hub.Errorf(hub.CodeBadRequest, "the request has several Idempotency-Key headers; give one")
	}
	if inner, quoted := strings.CutPrefix(key, `"`); quoted {
		key = strings.TrimSuffix(inner, `"`)
	}
	for i := range pubs {
		switch p := &pubs[i]; {
		case p.ID != "":
		case len(pubs) == 1:
			p.ID = key
		default:
			p.ID = fmt.Sprintf("%s/%d", key, i)
		}
	}
	return nil
}

func writeAnswer(w http.ResponseWriter, answer any) {
	b, _ := json.Marshal(answer) // maps, strings and numbers
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b) // whoever has gone needs no answer
}
