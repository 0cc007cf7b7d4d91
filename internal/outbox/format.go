package outbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// request is the body and headers of a request that tells of records. at is the time of the attempt, which a receiver compares with its clock.
func (e *Endpoint) request(app string, records []record, at time.Time) ([]byte, http.Header, error) {
	if e.Format == Pusher {
		return e.pusher(records)
	}
	return e.native(app, records, at)
}

// nativeEvent is an event in a request, in the form that Standard Webhooks recommend.
type nativeEvent struct {
	Type      string     `json:"type"`
	Timestamp string     `json:"timestamp"` // when it happened (RFC 3339)
	Data      nativeData `json:"data"`
}

type nativeData struct {
	ID      string          `json:"id"`
	App     string          `json:"app"`
	Channel string          `json:"channel"`
	Member  string          `json:"member,omitempty"`
	Event   string          `json:"event,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Session string          `json:"session,omitempty"`
	Count   *int            `json:"subscription_count,omitempty"`
}

func (e *Endpoint) native(app string, records []record, at time.Time) ([]byte, http.Header, error) {
	events := make([]nativeEvent, len(records))
	for i := range records {
		events[i] = nativeOf(app, &records[i])
	}
	var body []byte
	var err error
	if e.Batch > 1 {
		body, err = json.Marshal(events)
	} else {
		body, err = json.Marshal(events[0])
	}
	if err != nil {
		return nil, nil, err
	}
	id, stamp := requestID(records), strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(e.Secrets))
	for i, secret := range e.Secrets {
		signatures[i] = signature(secret, id, stamp, body)
	}
	return body, http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {strings.Join(signatures, " ")}}, nil
}

// signature is one of Standard Webhooks.
func signature(secret []byte, id, stamp string, body []byte) string {
	return "v1," + base64.StdEncoding.EncodeToString(sum(secret, []byte(id+"."+stamp+"."), body))
}

func nativeOf(app string, r *record) nativeEvent {
	d := nativeData{ID: r.ID, App: app, Channel: r.Channel, Member: r.Member, Event: r.Name, Data: r.Data, Session: r.Session}
	if r.Type == SubscriptionCount {
		d.Count = &r.Count
	}
	return nativeEvent{Type: r.Type, Timestamp: time.UnixMilli(r.Time).UTC().Format("2006-01-02T15:04:05.000Z07:00"), Data: d}
}

// requestID names what a request tells: it is the same when that is sent again, and only then, so that a receiver can drop what it has.
func requestID(records []record) string {
	if len(records) == 1 {
		return records[0].ID
	}
	h := sha256.New()
	for i := range records {
		fmt.Fprintf(h, "%s\n", records[i].ID)
	}
	return base32.StdEncoding.EncodeToString(h.Sum(nil))[:26]
}

// pusherEvent is an event in Pusher's words: a member is a user, a session a socket.
type pusherEvent struct {
	Name    string  `json:"name"`
	Channel string  `json:"channel"`
	UserID  string  `json:"user_id,omitempty"`
	Event   string  `json:"event,omitempty"`
	Data    *string `json:"data,omitempty"` // always a string: the client's, or the JSON of what it sent
	Socket  string  `json:"socket_id,omitempty"`
	Count   *int    `json:"subscription_count,omitempty"`
}

func (e *Endpoint) pusher(records []record) ([]byte, http.Header, error) {
	var of struct {
		TimeMS int64         `json:"time_ms"`
		Events []pusherEvent `json:"events"`
	}
	for i := range records {
		of.TimeMS = max(of.TimeMS, records[i].Time)
		of.Events = append(of.Events, pusherOf(&records[i]))
	}
	body, err := json.Marshal(&of)
	if err != nil {
		return nil, nil, err
	}
	return body, http.Header{"X-Pusher-Key": {e.Key}, "X-Pusher-Signature": {hex.EncodeToString(sum(e.Secrets[0], body))}}, nil
}

func pusherOf(r *record) pusherEvent {
	p := pusherEvent{Name: r.Type, Channel: r.Channel, UserID: r.Member, Event: r.Name, Socket: r.Session}
	if r.Type == SubscriptionCount {
		p.Count = &r.Count
	}
	if r.Data != nil {
		text := string(r.Data)
		if json.Unmarshal(r.Data, &text) != nil {
			text = string(r.Data) // it is no string
		}
		p.Data = &text
	}
	return p
}

// sum is HMAC-SHA256.
func sum(secret []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, secret)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
