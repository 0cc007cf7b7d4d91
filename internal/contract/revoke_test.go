package contract

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// call sends a request with the app key and returns the answer's status and body.
func (p *process) call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(p.Key, p.Secret)
	r.Header.Set("Content-Type", "application/json")
	return send(t, r)
}

func send(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// TestRevokedTokens is about a token that is worth nothing within a second, on every transport and over HTTP, and after the server was killed.
func TestRevokedTokens(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	bin, data := program(t), t.TempDir()
	p := start(t, bin, "127.0.0.1:0", data)
	var minted struct{ Token string }
	status, body := p.call(t, "POST", "/v1/tokens", `{"client":"ann","channels":{"*":["subscribe","history"]}}`)
	if err := json.Unmarshal([]byte(body), &minted); status != 200 || err != nil {
		t.Fatalf("%d %s", status, body)
	}
	socket, err := client.Dial(t.Context(), client.Options{URL: p.URL, Token: func(context.Context) (string, error) { return minted.Token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 3)
	first := lastLine(t.Context(), p.URL+"/v1/poll?channel=c", minted.Token) // it says where the next goes on, which waits
	_, cursor, _ := strings.Cut(first, `"cursor":"`)
	cursor, _, _ = strings.Cut(cursor, `"`)
	for _, path := range []string{"stream?channel=c", "sse?channel=c", "poll?cursor=" + cursor} {
		go func() { ended <- lastLine(t.Context(), p.URL+"/v1/"+path, minted.Token) }()
	}
	for strings.Count(body, `"session"`) < 4 {
		if len(ended) > 0 {
			t.Fatal(<-ended)
		}
		wait(10 * time.Millisecond)
		_, body = p.call(t, "GET", "/v1/sessions?client=ann", "")
	}
	began := time.Now()
	if status, body := p.call(t, "POST", "/v1/tokens/revoke", `{"client":"ann"}`); status != 204 {
		t.Fatalf("%d %s", status, body)
	}
	<-socket.Done()
	if e, ok := errors.AsType[*hub.Error](socket.Err()); !ok || e.Code != hub.CodeRevoked {
		t.Errorf("the WebSocket ends with %v", socket.Err())
	}
	for range 3 {
		if last := <-ended; !strings.Contains(last, `"code":4003`) {
			t.Errorf("a session ends with %s", last)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("sessions ended after %v", took)
	}
	worthless := func() {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", p.URL+"/v1/channels/c/messages", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+minted.Token)
		if status, body := send(t, r); status != http.StatusForbidden || !strings.Contains(body, `"code":4003`) {
			t.Errorf("over HTTP: %d %s", status, body)
		}
	}
	worthless()
	p.kill()
	p = start(t, bin, p.Listen, data)
	worthless()
}

// lastLine reads a transport of plain HTTP until it ends, and says what came last.
func lastLine(ctx context.Context, url, token string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	last := ""
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	return last
}
