package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// defaultTTL is how long a token lasts unless the request says it.
const defaultTTL = time.Hour

// tokenRequest is the body of POST /v1/tokens.
type tokenRequest struct {
	client, id string
	channels   map[string][]string
	ttl        *int64 // seconds
}

func decodeToken(body []byte) (t tokenRequest, err error) {
	return t, decodeBody(body, map[string]any{"client": &t.client, "channels": &t.channels, "ttl": &t.ttl, "id": &t.id})
}

func (t *tokenRequest) claims(now time.Time) (auth.Claims, error) {
	c := auth.Claims{Client: t.client, ID: t.id, Issued: now, Expires: now.Add(defaultTTL)}
	if t.ttl != nil {
		if most := int64(hub.MaxTokenLife / time.Second); *t.ttl < 1 || *t.ttl > most {
			return c, hub.Errorf(hub.CodeBadRequest, "ttl is %d; it must be a number of seconds from 1 to %d", *t.ttl, most)
		}
		c.Expires = now.Add(time.Duration(*t.ttl) * time.Second)
	}
	for _, pattern := range slices.Sorted(maps.Keys(t.channels)) {
		line := hub.Allow{Pattern: pattern}
		for _, name := range t.channels[pattern] {
			action, known := hub.ParseAction(name)
			if !known {
				return c, hub.Errorf(hub.CodeBadRequest, "channels allows %q on %q; the actions are %s", clip(name), clip(pattern), hub.AllActions)
			}
			line.Actions |= action
		}
		if line.Actions != 0 {
			c.Allow = append(c.Allow, line)
		}
	}
	return c, nil
}

// mint is POST /v1/tokens.
func (a *api) mint(w http.ResponseWriter, r *http.Request) error {
	q, err := a.ask(r)
	if err != nil {
		return err
	}
	if !q.grant.Server {
		return hub.Errorf(hub.CodeForbidden, "only a backend makes tokens; use an app key")
	}
	return a.withBody(w, r, func(body []byte) error {
		t, err := decodeToken(body)
		if err != nil {
			return err
		}
		c, err := t.claims(time.Now())
		if err != nil {
			return err
		}
		token, err := a.auth.Mint(q.grant.App, c)
		if err != nil {
			shown, _ := hub.Show(err)
			return hub.Errorf(hub.CodeBadRequest, "%s", shown.Text) // the claims are at fault, not whoever asks
		}
		b := messagejson.AppendString([]byte(`{"token":`), token)
		if c.ID != "" {
			b = messagejson.AppendString(append(b, `,"id":`...), c.ID)
		}
		writeJSON(w, append(strconv.AppendInt(append(b, `,"expires":`...), c.Expires.Unix()*1000, 10), '}'))
		return nil
	})
}

// revoke is POST /v1/tokens/revoke.
func (a *api) revoke(w http.ResponseWriter, r *http.Request) error {
	q, err := a.ask(r)
	if err != nil {
		return err
	}
	return a.withBody(w, r, func(body []byte) error {
		var which hub.Revocation
		if err := decodeBody(body, map[string]any{"client": &which.Client, "id": &which.TokenID}); err != nil {
			return err
		}
		if err := a.hub.Revoke(r.Context(), q.grant, which); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// decodeBody reads a body that is one object into the fields of these names. The error is a *hub.Error.
func decodeBody(body []byte, fields map[string]any) error {
	if !utf8.Valid(body) {
		return hub.Errorf(hub.CodeBadRequest, "the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	open, err := d.Token()
	if err == nil && open != json.Delim('{') {
		return hub.Errorf(hub.CodeBadRequest, "the body must be an object")
	}
	if err == nil {
		err = decodeObject(d, fields, "")
	}
	if err == nil {
		err = atEnd(d)
	}
	if err != nil {
		return badJSON(err, d)
	}
	return nil
}
