package api

import (
	"net/http"
	"strconv"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// sessions is GET /v1/sessions.
func (a *api) sessions(w http.ResponseWriter, r *http.Request) error {
	q, err := a.ask(r, "client", "channel", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := pageLimit(q.params)
	if err != nil {
		return err
	}
	page, more, err := a.hub.SessionInfos(q.grant, hub.SessionFilter{Client: q.params["client"], Channel: q.params["channel"]}, q.params["after"], limit)
	if err != nil {
		return err
	}
	b := []byte(`{"sessions":[`)
	for i, s := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendSession(append(b, '{'), s), '}')
	}
	writeJSON(w, append(strconv.AppendBool(append(b, `],"more":`...), more), '}'))
	return nil
}

// session is GET /v1/sessions/{session}.
func (a *api) session(w http.ResponseWriter, r *http.Request) error {
	q, err := a.ask(r)
	if err != nil {
		return err
	}
	info, subs, err := a.hub.SessionInfo(q.grant, r.PathValue("session"))
	if err != nil {
		return err
	}
	b := append(appendSession([]byte{'{'}, info), `,"channels":[`...)
	for i, u := range subs {
		if i > 0 {
			b = append(b, ',')
		}
		b = messagejson.AppendString(append(b, `{"channel":`...), u.Channel)
		b = messagejson.AppendPosition(append(b, ','), u.Cursor.Position)
		b = strconv.AppendBool(append(b, `,"presence":`...), u.Cursor.Presence)
		b = append(appendLag(b, u.Lag), '}')
	}
	writeJSON(w, append(b, "]}"...))
	return nil
}

// endSession is DELETE /v1/sessions/{session}.
func (a *api) endSession(w http.ResponseWriter, r *http.Request) error {
	q, err := a.ask(r, "reconnect")
	if err != nil {
		return err
	}
	reconnect, err := yes(q.params, "reconnect")
	if err != nil {
		return err
	}
	if err := a.hub.EndSession(q.grant, r.PathValue("session"), reconnect); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// endSessions is DELETE /v1/sessions.
func (a *api) endSessions(w http.ResponseWriter, r *http.Request) error {
	q, err := a.ask(r, "client", "reconnect")
	if err != nil {
		return err
	}
	reconnect, err := yes(q.params, "reconnect")
	if err != nil {
		return err
	}
	ended, err := a.hub.EndSessions(q.grant, q.params["client"], reconnect)
	if err != nil {
		return err
	}
	writeJSON(w, append(strconv.AppendInt([]byte(`{"ended":`), int64(ended), 10), '}'))
	return nil
}

// appendSession appends the members of a session.
func appendSession(b []byte, s hub.SessionInfo) []byte {
	b = messagejson.AppendString(append(b, `"session":`...), s.ID)
	for _, text := range []struct{ name, value string }{{"client", s.Client}, {"transport", s.Transport}, {"address", s.Address}} {
		if text.value != "" {
			b = messagejson.AppendString(append(append(append(b, `,"`...), text.name...), `":`...), text.value)
		}
	}
	b = strconv.AppendInt(append(b, `,"started":`...), s.Started.UnixMilli(), 10)
	b = strconv.AppendInt(append(b, `,"subscriptions":`...), int64(s.Subscriptions), 10)
	return appendLag(b, s.Lag)
}

func appendLag(b []byte, l hub.Lag) []byte {
	b = strconv.AppendInt(append(b, `,"lag":`...), int64(l.Messages), 10)
	if l.AtLeast {
		b = append(b, `,"lag_at_least":true`...)
	}
	return b
}
