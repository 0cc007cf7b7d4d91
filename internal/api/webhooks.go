package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/outbox"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// askWebhooks reads a request of one who administers the app.
func (a *api) askWebhooks(r *http.Request, known ...string) (question, error) {
	q, err := a.ask(r, known...)
	if err == nil {
		err = a.hub.Administers(q.grant)
	}
	return q, err
}

// webhooks is GET /v1/webhooks.
func (a *api) webhooks(w http.ResponseWriter, r *http.Request) error {
	q, err := a.askWebhooks(r)
	if err != nil {
		return err
	}
	all, err := a.outbox.Status(r.Context(), q.grant.App)
	if err != nil {
		return err
	}
	b := []byte(`{"webhooks":[`)
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendWebhook(b, &all[i])
	}
	writeJSON(w, append(b, "]}"...))
	return nil
}

func appendWebhook(b []byte, s *outbox.Status) []byte {
	b = messagejson.AppendString(append(b, `{"webhook":`...), s.Endpoint.Name)
	b = messagejson.AppendString(append(b, `,"url":`...), s.Endpoint.Address())
	format := map[outbox.Format]string{outbox.Native: "native", outbox.Pusher: "pusher"}[s.Endpoint.Format]
	b = messagejson.AppendString(append(b, `,"format":`...), format)
	b = strconv.AppendInt(append(b, `,"lag":`...), s.Lag().Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"parked":`...), int64(s.Parked), 10)
	b = strconv.AppendUint(append(b, `,"dead":`...), s.Dead, 10)
	b = appendTime(b, "last_success", s.LastSuccess)
	b = appendTime(b, "last_failure", s.LastFailure)
	if s.Reason != "" {
		b = messagejson.AppendString(append(b, `,"reason":`...), s.Reason)
	}
	return append(b, '}')
}

// appendTime appends a member that is a time in Unix milliseconds, unless there is none.
func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return strconv.AppendInt(append(append(append(b, `,"`...), name...), `":`...), t.UnixMilli(), 10)
}

// deadLetters is GET /v1/webhooks/{webhook}/dead.
func (a *api) deadLetters(w http.ResponseWriter, r *http.Request) error {
	q, err := a.askWebhooks(r, "after", "limit", "id")
	if err != nil {
		return err
	}
	if id, given := q.params["id"]; given {
		return a.deadLetter(w, r, &q, id)
	}
	limit, err := pageLimit(q.params)
	if err != nil {
		return err
	}
	after := uint64(0)
	if s, given := q.params["after"]; given {
		if after, err = strconv.ParseUint(s, 10, 53); err != nil {
			return hub.Errorf(hub.CodeBadRequest, "after is %q; it must be the offset of a dead letter", clip(s))
		}
	}
	page, more, err := a.outbox.DeadLetters(r.Context(), q.grant.App, r.PathValue("webhook"), after, limit)
	if err != nil {
		return err
	}
	writeDead(w, page, more)
	return nil
}

// deadLetter answers with the one of an event.
func (a *api) deadLetter(w http.ResponseWriter, r *http.Request, q *question, id string) error {
	for _, name := range []string{"after", "limit"} {
		if _, given := q.params[name]; given {
			return hub.Errorf(hub.CodeBadRequest, "id names one dead letter and %s is about a list; give one", name)
		}
	}
	d, err := a.outbox.DeadLetter(r.Context(), q.grant.App, r.PathValue("webhook"), id)
	if err != nil {
		return err
	}
	writeDead(w, []outbox.DeadLetter{d}, false)
	return nil
}

func writeDead(w http.ResponseWriter, page []outbox.DeadLetter, more bool) {
	b := []byte(`{"dead":[`)
	for i := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendDeadLetter(b, &page[i])
	}
	writeJSON(w, append(strconv.AppendBool(append(b, `],"more":`...), more), '}'))
}

func appendDeadLetter(b []byte, d *outbox.DeadLetter) []byte {
	b = strconv.AppendUint(append(b, `{"offset":`...), d.Offset, 10)
	for _, text := range []struct{ name, value string }{
		{"id", d.ID}, {"type", d.Event.Type}, {"channel", d.Event.Channel}, {"member", d.Event.Member}, {"event", d.Event.Name}, {"session", d.Event.Session}, {"reason", d.Reason},
	} {
		if text.value != "" {
			b = messagejson.AppendString(append(append(append(b, `,"`...), text.name...), `":`...), text.value)
		}
	}
	if d.Event.Data != nil {
		b = append(append(b, `,"data":`...), d.Event.Data...)
	}
	if d.Event.Type == outbox.SubscriptionCount {
		b = strconv.AppendInt(append(b, `,"subscription_count":`...), int64(d.Event.Count), 10)
	}
	b = strconv.AppendInt(append(b, `,"failures":`...), int64(d.Failures), 10)
	return append(appendTime(appendTime(b, "time", d.Time), "died", d.Died), '}')
}

// resend is POST /v1/webhooks/{webhook}/resend.
func (a *api) resend(w http.ResponseWriter, r *http.Request) error {
	return a.exhume(w, r, "resent", a.outbox.Resend)
}

// discard is DELETE /v1/webhooks/{webhook}/dead.
func (a *api) discard(w http.ResponseWriter, r *http.Request) error {
	return a.exhume(w, r, "discarded", a.outbox.Discard)
}

// exhume has something done with the dead letters of a webhook, or with one of them, and answers how many they were.
func (a *api) exhume(w http.ResponseWriter, r *http.Request, what string, do func(ctx context.Context, app, webhook string, ids []string) (int, error)) error {
	q, err := a.askWebhooks(r, "id")
	if err != nil {
		return err
	}
	var ids []string // nil: all
	if id, given := q.params["id"]; given {
		ids = []string{id}
	}
	n, err := do(r.Context(), q.grant.App, r.PathValue("webhook"), ids)
	if err != nil {
		return err
	}
	writeJSON(w, append(strconv.AppendInt(append(messagejson.AppendString([]byte{'{'}, what), ':'), int64(n), 10), '}'))
	return nil
}

// tryWebhook is POST /v1/webhooks/{webhook}/test.
func (a *api) tryWebhook(w http.ResponseWriter, r *http.Request) error {
	q, err := a.askWebhooks(r)
	if err != nil {
		return err
	}
	attempt, err := a.outbox.Try(r.Context(), q.grant.App, r.PathValue("webhook"))
	if err != nil {
		return err
	}
	b := strconv.AppendBool([]byte(`{"taken":`), attempt.Taken)
	b = strconv.AppendInt(append(b, `,"took":`...), attempt.Took.Milliseconds(), 10)
	if !attempt.Taken {
		b = messagejson.AppendString(append(b, `,"reason":`...), attempt.Reason)
	}
	writeJSON(w, append(b, '}'))
	return nil
}
