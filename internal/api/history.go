package api

import (
	"context"
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

const (
	// maxWait is how long a request may wait for a message: proxies give up on silence after a minute.
	maxWait = 55 * time.Second
	// maxWaiting bounds the requests that wait at once. A crowd waits at a cache.
	maxWaiting = 10_000
)

// history is GET /v1/channels/{channel}/messages, and GET /v1/messages?channel=….
func (a *api) history(w http.ResponseWriter, r *http.Request) error {
	c, err := a.askChannel(r, "after", "before", "last", "since", "limit", "wait")
	if err != nil {
		return err
	}
	q, err := parseQuery(c.params, time.Now())
	if err != nil {
		return err
	}
	page, waited, err := a.page(r.Context(), c, q)
	if err != nil {
		return err
	}
	rule := a.hub.Rule(c.grant, c.channel)
	shared := shareable(r, &rule)
	if shared {
		cacheable(w.Header(), keepFor(&rule, q, page, time.Now()), full(q, page))
	}
	switch {
	case waited && len(page.Messages) == 0 && page.Reset == "":
		w.WriteHeader(http.StatusNoContent)
	case shared:
		writeTagged(w, r, appendPage(nil, q, page, q.After != nil))
	default:
		writeJSON(w, appendPage(nil, q, page, false))
	}
	return nil
}

// page reads a page, waiting for its first message if the request says so.
func (a *api) page(ctx context.Context, c question, q hub.Query) (page hub.Page, waited bool, err error) {
	wait, err := parseWait(c.params)
	if err != nil {
		return page, false, err
	}
	if wait == 0 {
		page, err = a.hub.History(ctx, c.grant, c.channel, q)
		return page, false, err
	}
	if a.waiting.Add(1) > maxWaiting {
		a.waiting.Add(-1)
		return page, false, hub.Errorf(hub.CodeOverloaded, "%d requests wait for messages, the limit; try again shortly, or put a cache in front", maxWaiting)
	}
	defer a.waiting.Add(-1)
	page, err = a.hub.HistoryWait(ctx, c.grant, c.channel, q, wait)
	return page, true, err
}

func parseWait(params map[string]string) (time.Duration, error) {
	s, given := params["wait"]
	if !given {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if most := uint64(maxWait / time.Second); err != nil || n > most {
		return 0, hub.Errorf(hub.CodeBadRequest, "wait is %q; it must be a number of seconds from 0 to %d", clip(s), most)
	}
	if _, after := params["after"]; !after {
		return 0, hub.Errorf(hub.CodeBadRequest, "wait goes with after: a position behind which there may be nothing yet")
	}
	return time.Duration(n) * time.Second, nil
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
	q.Limit, err = pageLimit(params)
	return q, err
}

// appendPage appends a page. One that is the same for everybody leaves out what changes with each later message: where the channel ends, and whether a full page is the last.
func appendPage(b []byte, q hub.Query, page hub.Page, same bool) []byte {
	b = append(b, `{"messages":[`...)
	for i, m := range page.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = messagejson.Append(b, m)
	}
	b = strconv.AppendBool(append(b, `],"more":`...), page.More || same && full(q, page))
	b = messagejson.AppendString(append(b, `,"next":`...), next(q, page))
	if !same {
		b = append(messagejson.AppendPosition(append(b, `,"head":{`...), page.Head), '}')
	}
	if page.Reset != "" {
		b = messagejson.AppendString(append(b, `,"reset":`...), string(page.Reset))
	}
	return append(b, '}')
}

// next is what to ask for as after, to read on behind the page.
func next(q hub.Query, page hub.Page) string {
	p := page.Head
	if n := len(page.Messages); n > 0 {
		p = page.Messages[n-1].Position()
	} else if q.After != nil && page.Reset == "" {
		p = *q.After
	}
	return p.Epoch + ":" + strconv.FormatUint(p.Offset, 10)
}
