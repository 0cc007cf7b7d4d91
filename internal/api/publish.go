package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// publishTime is how long a publish waits for the store before it is answered by CodeUnavailable.
const publishTime = 30 * time.Second

// publish is POST /v1/channels/{channel}/messages.
func (a *api) publish(w http.ResponseWriter, r *http.Request) error {
	g, err := a.auth.Request(r)
	if err != nil {
		return err
	}
	if _, err := parameters(r.URL.RawQuery); err != nil {
		return err
	}
	return a.withBody(w, r, func(body []byte) error {
		pubs, many, err := decodePublish(body, r.PathValue("channel"))
		if err != nil {
			return err
		}
		if len(pubs) == 0 {
			writeJSON(w, []byte("[]"))
			return nil
		}
		ctx, cancel := context.WithTimeout(r.Context(), publishTime)
		defer cancel()
		results, err := a.hub.PublishWait(ctx, g, pubs)
		if err != nil {
			return err
		}
		if !many {
			return answerOne(w, pubs[0], results[0])
		}
		a.answerMany(w, r, pubs, results)
		return nil
	})
}

func answerOne(w http.ResponseWriter, p hub.Publication, result hub.Result) error {
	if result.Err != nil {
		return result.Err
	}
	writeJSON(w, appendResult(nil, p, result))
	return nil
}

// answerMany writes a result for each message in order. If any was not stored, the first failure's status is the answer's, and the results are in the problem.
func (a *api) answerMany(w http.ResponseWriter, r *http.Request, pubs []hub.Publication, results []hub.Result) {
	var first *hub.Error
	failed, b := 0, []byte{'['}
	for i, result := range results {
		if i > 0 {
			b = append(b, ',')
		}
		if result.Err == nil {
			b = appendResult(b, pubs[i], result)
			continue
		}
		e := a.show(r, result.Err)
		b = appendFailure(b, e)
		if failed++; first == nil {
			first = e
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
func appendResult(b []byte, p hub.Publication, result hub.Result) []byte {
	b = messagejson.AppendString(append(b, `{"channel":`...), p.Channels[0])
	b = messagejson.AppendString(append(b, `,"id":`...), result.ID)
	if p.Ephemeral {
		return append(b, `,"ephemeral":true}`...)
	}
	b = messagejson.AppendPosition(append(b, ','), result.Position)
	b = strconv.AppendUint(append(b, `,"prev":`...), result.Prev, 10)
	if result.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	return append(b, '}')
}

func appendFailure(b []byte, e *hub.Error) []byte {
	b = strconv.AppendUint(append(b, `{"code":`...), uint64(e.Code), 10)
	b = messagejson.AppendString(append(b, `,"name":`...), e.Code.String())
	b = messagejson.AppendString(append(b, `,"text":`...), e.Text)
	return append(b, '}')
}
