package api

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// publishTime is how long a publish waits for the store before it is answered by CodeUnavailable.
const publishTime = 30 * time.Second

// publish is POST /v1/channels/{channel}/messages, and POST /v1/messages, where the messages name their channels.
func (a *api) publish(w http.ResponseWriter, r *http.Request) error {
	g, err := a.auth.Request(r)
	if err != nil {
		return err
	}
	if _, err := parameters(r.URL.RawQuery); err != nil {
		return err
	}
	return a.withBody(w, r, func(body []byte) error {
		b, err := decodePublish(body, r.PathValue("channel"))
		if err != nil {
			return err
		}
		if err := b.idempotent(r.Header.Values("Idempotency-Key")); err != nil {
			return err
		}
		if err := b.check(bodyLimit(a.hub.Limits())); err != nil {
			return err
		}
		if len(b.pubs) == 0 {
			writeJSON(w, []byte("[]"))
			return nil
		}
		ctx, cancel := context.WithTimeout(r.Context(), publishTime)
		defer cancel()
		results, err := a.hub.PublishWait(ctx, g, b.pubs)
		if err != nil {
			return err
		}
		if !b.many {
			return answerOne(w, b.pubs[0], results[0])
		}
		a.answerMany(w, r, b.pubs, results)
		return nil
	})
}

// idempotent takes an Idempotency-Key, as draft-ietf-httpapi-idempotency-key-header has it, for the id of a single message.
func (b *batch) idempotent(keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	if b.many || len(keys) > 1 {
		return hub.Errorf(hub.CodeBadRequest, "one Idempotency-Key goes with one message; give each message an id instead")
	}
	key := keys[0]
	if inner, quoted := strings.CutPrefix(key, `"`); quoted {
		key = strings.TrimSuffix(inner, `"`)
	}
	if p := &b.pubs[0]; p.ID == "" {
		p.ID = key
	} else if p.ID != key {
		return hub.Errorf(hub.CodeBadRequest, "the Idempotency-Key is %q and the message's id %q; give one of them", clip(key), clip(p.ID))
	}
	return nil
}

func answerOne(w http.ResponseWriter, p hub.Publication, result hub.Result) error {
	if result.Err != nil {
		return result.Err
	}
	writeJSON(w, appendResult(nil, p.Channels[0], p.Ephemeral, result))
	return nil
}

// answerMany writes a result for each channel of each message in order. If any was not stored, the first failure's status is the answer's, and the
// results are in the problem.
func (a *api) answerMany(w http.ResponseWriter, r *http.Request, pubs []hub.Publication, results []hub.Result) {
	var first *hub.Error
	failed, b, left := 0, []byte{'['}, results
	for _, p := range pubs {
		for _, channel := range p.Channels {
			if len(left) < len(results) {
				b = append(b, ',')
			}
			if err := left[0].Err; err == nil {
				b = appendResult(b, channel, p.Ephemeral, left[0])
			} else {
				e := a.show(r, err)
				b = appendFailure(b, channel, e)
				failed++
				first = cmp.Or(first, e)
			}
			left = left[1:]
		}
	}
	b = append(b, ']')
	if first == nil {
		writeJSON(w, b)
		return
	}
	a.fail(w, r, hub.Errorf(first.Code, "%d of %d messages were not stored: see results; the first: %s", failed, len(results), first.Text), b)
}

// appendResult appends what became of a message that was stored, or sent when it is ephemeral.
func appendResult(b []byte, channel string, ephemeral bool, result hub.Result) []byte {
	b = messagejson.AppendString(append(b, `{"channel":`...), channel)
	b = messagejson.AppendString(append(b, `,"id":`...), result.ID)
	if ephemeral {
		return append(b, `,"ephemeral":true}`...)
	}
	b = messagejson.AppendPosition(append(b, ','), result.Position)
	b = strconv.AppendUint(append(b, `,"prev":`...), result.Prev, 10)
	if result.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	return append(b, '}')
}

func appendFailure(b []byte, channel string, e *hub.Error) []byte {
	b = messagejson.AppendString(append(b, `{"channel":`...), channel)
	b = strconv.AppendUint(append(b, `,"code":`...), uint64(e.Code), 10)
	b = messagejson.AppendString(append(b, `,"name":`...), e.Code.String())
	b = messagejson.AppendString(append(b, `,"text":`...), e.Text)
	return append(b, '}')
}
