package outbox

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answering is a receiver that always answers so; with status 0 it does not answer.
func answering(t *testing.T, status int, body string, header http.Header) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // before that the server does not see that a client has gone
		if status == 0 {
			<-r.Context().Done()
			return
		}
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server
}

// sendTo sends a request to a server.
func sendTo(t *testing.T, server *httptest.Server) *failure {
	t.Helper()
	e := Endpoint{URL: server.URL + "/?key=hidden", Allow: loopback, Secrets: [][]byte{{1}}, Timeout: time.Second / 5}
	s := newSender("a", &e, nil)
	defer s.close()
	return s.send(t.Context(), happened()[:1])
}

// Why a request was not taken is said in one line, bounded, without the URL and its secrets.
func TestReasons(t *testing.T) {
	for _, test := range []struct {
		status     int
		body, want string
	}{
		{200, "", ""}, {204, "", ""}, {299, "", ""},
		{400, "bad\n  thing", "status 400: bad thing"}, {500, "<html>", "status 500"}, {404, "", "status 404"}, {500, strings.Repeat("é", 200), "status 500: " + strings.Repeat("é", 100) + "…"},
		{0, "", "no answer within the timeout"}, {500, "\xff", "status 500: ?"},
	} {
		why := sendTo(t, answering(t, test.status, test.body, nil))
		if (why == nil) != (test.want == "") || why != nil && why.text != test.want {
			t.Errorf("%d %.20q: %+v, want %q", test.status, test.body, why, test.want)
		}
	}
	if why := sendTo(t, answering(t, 503, "", http.Header{"Retry-After": {"7"}})); why == nil || why.after != 7*time.Second {
		t.Errorf("%+v", why)
	}
	server := answering(t, 200, "", nil)
	server.Close()
	if why := sendTo(t, server); why == nil || strings.Contains(why.text, "hidden") || !strings.Contains(why.text, "refused") {
		t.Errorf("%+v", why)
	}
}

func TestRetryAfter(t *testing.T) {
	for s, want := range map[string]time.Duration{"": 0, "5": 5 * time.Second, "999999": maxAfter, "-1": 0, "Wed, 21 Oct 2015 07:28:00 GMT": 0, "99999999999999999999": 0} {
		if got := retryAfter(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: maxBackoff, 1000: maxBackoff} {
		for range 100 {
			if got := backoff(failures); got < want*4/5 || got > want*6/5 {
				t.Errorf("after %d: %v, want about %v", failures, got, want)
			}
		}
	}
}
