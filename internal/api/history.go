package api

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// pageBytes bounds a page, so that a thousand large messages do not fill the memory. There is more where it ends.
const pageBytes = 8 << 20

// history is GET /v1/channels/{channel}/messages, and GET /v1/messages?channel=….
func (a *api) history(w http.ResponseWriter, r *http.Request) error {
	c, err := a.askChannel(r, "after", "before", "last", "since", "limit")
	if err != nil {
		return err
	}
	q, err := parseQuery(c.params, time.Now())
	if err != nil {
		return err
	}
	page, err := a.hub.History(r.Context(), c.grant, c.channel, q)
	if err != nil {
		return err
	}
	writeJSON(w, appendPage(nil, page))
	return nil
}

// starts are the parameters that say where a page begins or ends.
var starts = map[string]func(q *hub.Query, s string, now time.Time) error{
	"after": func(q *hub.Query, s string, _ time.Time) error {
		i := max(strings.LastIndexByte(s, ':'), 0)
		offset, err := strconv.ParseUint(strings.TrimPrefix(s[i:], ":"), 10, 64)
		if i == 0 || err != nil || offset > hub.MaxOffset {
			return hub.Errorf(hub.CodeBadRequest, "after is %q; it must be a position, epoch:offset, such as \"k3x9:1207\"", clip(s))
		}
		q.After = &hub.Position{Epoch: s[:i], Offset: offset}
		return nil
	},
	"before": func(q *hub.Query, s string, _ time.Time) (err error) {
		if q.Before, err = strconv.ParseUint(s, 10, 64); err != nil || q.Before == 0 || q.Before > hub.MaxOffset {
			return hub.Errorf(hub.CodeBadRequest, "before is %q; it must be an offset (without the epoch) from 1 to %d", clip(s), uint64(hub.MaxOffset))
		}
		return nil
	},
	"last": func(q *hub.Query, s string, _ time.Time) (err error) {
		if q.Last, err = strconv.Atoi(s); err != nil || q.Last < 1 {
			return hub.Errorf(hub.CodeBadRequest, "last is %q; it must be a number of messages, at least 1", clip(s))
		}
		q.Limit = min(q.Last, maxLimit)
		return nil
	},
	"since": func(q *hub.Query, s string, now time.Time) (err error) {
		// A '+' that was not written as %2B has become a space; no form of since has one.
		q.Since, err = messagejson.ParseSince(strings.ReplaceAll(s, " ", "+"), now)
		return err
	},
}

func parseQuery(params map[string]string, now time.Time) (hub.Query, error) {
	q := hub.Query{Limit: defaultLimit, Bytes: pageBytes}
	given := []string{}
	for _, name := range slices.Sorted(maps.Keys(starts)) {
		s, ok := params[name]
		if !ok {
			continue
		}
		if given = append(given, name); len(given) > 1 {
			return q, hub.Errorf(hub.CodeBadRequest, "%s and %s exclude each other; give one", given[0], given[1])
		}
		if err := starts[name](&q, s, now); err != nil {
			return q, err
		}
	}
	if _, given := params["limit"]; !given {
		return q, nil
	}
	var err error
	q.Limit, err = pageLimit(params, maxLimit)
	return q, err
}

func appendPage(b []byte, page hub.Page) []byte {
	b = append(b, `{"messages":[`...)
	for i, m := range page.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = messagejson.Append(b, m)
	}
	b = strconv.AppendBool(append(b, `],"more":`...), page.More)
	b = append(messagejson.AppendPosition(append(b, `,"head":{`...), page.Head), '}')
	if page.Reset != "" {
		b = messagejson.AppendString(append(b, `,"reset":`...), string(page.Reset))
	}
	return append(b, '}')
}
