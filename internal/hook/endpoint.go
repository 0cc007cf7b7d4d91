package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxUnderWay is how many questions an endpoint is asked at once. Others wait, but not longer than the timeout.
	maxUnderWay = 64
	// maxAnswer bounds an answer.
	maxAnswer = 64 << 10
	// maxReason is how much of a refusal's text is kept.
	maxReason = 200
)

// ErrBusy is the error of a question that was not asked: the backend has failed several times just now, or has enough to do.
var ErrBusy = errors.New("the backend is not asked just now")

// RefusedError is a backend's "no": status 401 or 403, with its text.
type RefusedError struct{ Text string }

// Error implements error.
func (e *RefusedError) Error() string { return e.Text }

// Endpoint is a URL of a backend that answers questions. Safe for concurrent use.
type Endpoint struct {
	url     string
	timeout time.Duration
	client  *http.Client
	slots   chan struct{}
	breaker breaker
}

// NewEndpoint makes an Endpoint. A question takes no longer than the timeout.
func NewEndpoint(url string, timeout time.Duration) *Endpoint {
	return &Endpoint{
		url: url, timeout: timeout, slots: make(chan struct{}, maxUnderWay),
		client: &http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: maxUnderWay, IdleConnTimeout: 30 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close lets go of connections that nobody uses.
func (e *Endpoint) Close() { e.client.CloseIdleConnections() }

// Ask posts a question as JSON, with a header, and reads the answer, which must be status 200 and JSON. The error is a *RefusedError, ErrBusy, or a failure of
// the backend, which is for the operator's eyes only.
func (e *Endpoint) Ask(ctx context.Context, header http.Header, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return ErrBusy
	}
	if !e.breaker.allow() {
		return ErrBusy
	}
	err = e.post(ctx, header, body, answer)
	_, refused := errors.AsType[*RefusedError](err)
	switch {
	case err == nil || refused:
		e.breaker.succeeded()
	case errors.Is(ctx.Err(), context.Canceled):
		e.breaker.gaveUp()
	default:
		e.breaker.failed()
	}
	return err
}

func (e *Endpoint) post(ctx context.Context, header http.Header, body []byte, answer any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	maps.Copy(r.Header, header)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "sno")
	resp, err := e.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	case len(text) > maxAnswer:
		return fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return &RefusedError{reason(text)}
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the answer is %s; it must be 200, or 401 or 403 for a refusal", resp.Status)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	return nil
}

// reason is what a backend's refusal says, as far as it is a line of text; not a page.
func reason(text []byte) string {
	s := strings.TrimSpace(string(text))
	if s == "" || s[0] == '<' || !utf8.ValidString(s) {
		return "the app's backend refused it"
	}
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
