package outbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxReason is how much of an answer is kept to say why.
	maxReason = 200
	// maxAfter is the longest wait that an endpoint may ask for.
	maxAfter = time.Hour
)

// failure is why an endpoint has not taken a request.
type failure struct {
	text string
	// after is how long the endpoint wants to be left alone; 0: it does not say.
	after time.Duration
}

// sender posts to an endpoint.
type sender struct {
	app      string
	endpoint *Endpoint
	client   *http.Client
}

func newSender(app string, e *Endpoint, resolver *net.Resolver) *sender {
	g := &guard{allow: e.Allow, plain: strings.HasPrefix(e.URL, "http:")}
	return &sender{app, e, g.client(resolver)}
}

func (s *sender) close() { s.client.CloseIdleConnections() }

// send tells the endpoint of records. It returns nil if that has taken them: any status from 200 to 299 says so.
func (s *sender) send(ctx context.Context, records []record) *failure {
	body, header, err := s.endpoint.request(s.app, records, time.Now())
	if err != nil {
		return &failure{text: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.endpoint.Timeout, DefaultTimeout))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint.URL, bytes.NewReader(body))
	if err != nil {
		return &failure{text: err.Error()}
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/json") // exactly: Pusher's libraries compare it as a string
	r.Header.Set("User-Agent", "sno-webhooks")
	answer, err := s.client.Do(r)
	if err != nil {
		return &failure{text: whyNot(err)}
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // the status has said it
	if answer.StatusCode/100 == 2 {
		return nil
	}
	return &failure{refusal(answer, text), retryAfter(answer.Header.Get("Retry-After"))}
}

// whyNot is an error of a request without the URL, which may have a secret in it.
func whyNot(err error) string {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.text
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within the timeout"
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}

// refusal is what an endpoint has answered, as a line of text.
func refusal(r *http.Response, text []byte) string {
	line := strings.ToValidUTF8(strings.Join(strings.Fields(string(text)), " "), "?")
	if len(line) > maxReason {
		line = strings.ToValidUTF8(line[:maxReason], "") + "…"
	}
	switch {
	case r.StatusCode/100 == 3:
		return fmt.Sprintf("status %d: redirects are not followed; configure the URL that it leads to", r.StatusCode)
	case line == "" || line[0] == '<':
		return fmt.Sprintf("status %d", r.StatusCode)
	}
	return fmt.Sprintf("status %d: %s", r.StatusCode, line)
}

// retryAfter reads a number of seconds (RFC 9110 §10.2.3). A date counts as nothing said: clocks differ.
func retryAfter(s string) time.Duration {
	seconds, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxAfter)
}
