package api

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/snoserver/sno/internal/hub"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// question is a request without a body.
type question struct {
	grant   *hub.Grant
	params  map[string]string
	channel string
}

// ask reads a request with these parameters.
func (a *api) ask(r *http.Request, known ...string) (q question, err error) {
	if q.grant, err = a.auth.Request(r); err == nil {
		q.params, err = parameters(r.URL.RawQuery, known...)
	}
	return q, err
}

// askChannel reads a request about one channel. The path names it, or else the parameter "channel": there are names that proxies and browsers do not leave as
// they are in a path, such as "/" and "..".
func (a *api) askChannel(r *http.Request, known ...string) (q question, err error) {
	name := r.PathValue("channel")
	if name == "" {
		known = append(known, "channel")
	}
	q, err = a.ask(r, known...)
	q.channel = cmp.Or(name, q.params["channel"])
	return q, err
}

// parameters reads a query string that has only these parameters, and "app", each at most once.
func parameters(raw string, known ...string) (map[string]string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, hub.Errorf(hub.CodeBadRequest, "the query string is malformed: %s", clip(err.Error()))
	}
	known = append(known, "app")
	params := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return nil, unknown("", "parameter", name, known)
		}
		if len(values[name]) > 1 {
			return nil, hub.Errorf(hub.CodeBadRequest, "%s stands there %d times; give it once", name, len(values[name]))
		}
		params[name] = values[name][0]
	}
	return params, nil
}

// pageLimit is the parameter limit: how much a page has at most.
func pageLimit(params map[string]string) (int, error) {
	s, given := params["limit"]
	if !given {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit {
		return 0, hub.Errorf(hub.CodeBadRequest, "limit is %q; it must be from 1 to %d", clip(s), maxLimit)
	}
	return n, nil
}

// yes is a parameter that is true or false, and false when it is not there.
func yes(params map[string]string, name string) (bool, error) {
	switch s := params[name]; s {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, hub.Errorf(hub.CodeBadRequest, "%s is %q; it must be true or false", name, clip(s))
	}
}
