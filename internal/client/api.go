package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
)

// API makes requests of the HTTP API (spec/openapi.yaml), with the address and credential of the same Options as a Client.
type API struct {
	server *server
	o      Options
}

// NewAPI makes an API; nothing is sent yet. Close it when it is not used any more.
func NewAPI(o Options) (*API, error) {
	s, err := newServer(o.URL)
	if err != nil {
		return nil, err
	}
	return &API{s, o}, nil
}

// Close gives the connections back.
func (a *API) Close() { a.server.close() }

// Do makes a request, with body as JSON unless it is nil, and reads the answer's JSON into answer unless that is nil. What the server refuses is a *hub.Error.
func (a *API) Do(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	r, err := a.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	response, err := a.server.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return refusal(response)
	}
	if answer == nil {
		_, err = io.Copy(io.Discard, response.Body)
	} else {
		err = json.NewDecoder(response.Body).Decode(answer)
	}
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", path, err)
	}
	return nil
}

func (a *API) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	if a.o.App != "" {
		query = maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		query.Set("app", a.o.App)
	}
	target := a.server.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case a.o.Key != "":
		r.SetBasicAuth(a.o.Key, a.o.Secret)
	case a.o.Token != nil:
		token, err := a.o.Token(ctx)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r, nil
}
