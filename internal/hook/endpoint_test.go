package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func endpoint(t *testing.T, timeout time.Duration, h http.HandlerFunc) *Endpoint {
	t.Helper()
	server := httptest.NewServer(h)
	e := NewEndpoint(server.URL+"/hook?a=1", timeout)
	t.Cleanup(func() {
		e.Close()
		server.Close()
	})
	return e
}

type answer struct{ User string }

func TestAsk(t *testing.T) {
	e := endpoint(t, 5*time.Second, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"app":"shop"}` || r.Method != http.MethodPost || r.URL.RawQuery != "a=1" ||
			r.Header.Get("Cookie") != "s=1" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("asked by %s %s %v %q, %v", r.Method, r.URL, r.Header, body, err)
		}
		fmt.Fprint(w, `{"user":"ann"}`)
	})
	var got answer
	if err := e.Ask(t.Context(), http.Header{"Cookie": {"s=1"}}, map[string]string{"app": "shop"}, &got); err != nil || got.User != "ann" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for name, test := range map[string]struct {
		status      int
		body, error string
		refused     bool
	}{
		"401":            {401, "sign in first\nplease", "sign in first", true},
		"403":            {403, "", "the app's backend refused it", true},
		"403, a page":    {403, "<html>Forbidden", "the app's backend refused it", true},
		"403, bytes":     {403, "\xff\xfe", "the app's backend refused it", true},
		"403, long":      {403, strings.Repeat("n", 300), strings.Repeat("n", maxReason) + "…", true},
		"500":            {500, "Traceback: secret", "the answer is 500 Internal Server Error; it must be 200", false},
		"204":            {204, "", "204", false},
		"302":            {302, "", "302", false},
		"no JSON":        {200, "<html>", "cannot be read", false},
		"nothing":        {200, "", "cannot be read", false},
		"of other types": {200, `{"user":1}`, "cannot be read", false},
		"without end":    {200, `{"user":"` + strings.Repeat("a", maxAnswer) + `"}`, "more than", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := endpoint(t, 5*time.Second, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			err := e.Ask(t.Context(), nil, 1, &answer{})
			_, refused := errors.AsType[*RefusedError](err)
			if err == nil || refused != test.refused || !strings.Contains(err.Error(), test.error) || strings.Contains(err.Error(), "Traceback") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A backend that hangs is given up, and after several failures not asked, until one question goes through again.
func TestBackendThatFails(t *testing.T) {
	var asked atomic.Int32
	var works atomic.Bool
	e := endpoint(t, 10*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if works.Load() {
			fmt.Fprint(w, `{}`)
			return
		}
		<-r.Context().Done()
	})
	ask := func() error { return e.Ask(t.Context(), nil, 1, &answer{}) }
	for range maxFailures {
		if err := ask(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
	}
	for range 10 {
		if err := ask(); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
	}
	if n := asked.Load(); n != maxFailures {
		t.Errorf("asked %d times", n)
	}
	works.Store(true)
	e.timeout = 5 * time.Second
	e.breaker.until = time.Now()
	if err := ask(); err != nil {
		t.Error(err)
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		for range maxFailures - 1 {
			b.failed()
		}
		b.succeeded() // only failures in a row count
		for range maxFailures {
			if !b.allow() {
				t.Fatal("closed too early")
			}
			b.failed()
		}
		for _, outcome := range []func(){b.failed, b.failed, b.succeeded} {
			time.Sleep(openTime - 1)
			if b.allow() {
				t.Error("asked too early")
			}
			time.Sleep(time.Nanosecond)
			if !b.allow() || b.allow() {
				t.Error("not one question was let through")
			}
			b.gaveUp() // is no outcome: another may try
			if !b.allow() {
				t.Error("nobody may try in the place of who gave up")
			}
			outcome()
		}
		for range 2 {
			if !b.allow() {
				t.Error("still open after a good probe")
			}
		}
	})
}

// No more than so many questions are under way, and who has to wait too long is told.
func TestQuestionsAreBounded(t *testing.T) {
	var now, most atomic.Int32
	var once sync.Once
	release, full := make(chan struct{}), make(chan struct{})
	e := endpoint(t, 5*time.Second, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == maxUnderWay {
			once.Do(func() { close(full) })
		}
		<-release
		now.Add(-1)
		fmt.Fprint(w, `{}`)
	})
	var all sync.WaitGroup
	for range 3 * maxUnderWay {
		all.Go(func() {
			if err := e.Ask(t.Context(), nil, 1, &answer{}); err != nil {
				t.Error(err)
			}
		})
	}
	<-full
	impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := e.Ask(impatient, nil, 1, &answer{}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	close(release)
	all.Wait()
	if n := most.Load(); n != maxUnderWay {
		t.Errorf("%d questions at once", n)
	}
}

func FuzzReason(f *testing.F) {
	f.Add([]byte("sign in first\n"))
	f.Add([]byte("<html>\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if text := reason(body); text == "" || len(text) > maxReason+len("…") || strings.Contains(text, "\n") || !utf8.ValidString(text) {
			t.Fatalf("%q gives %q", body, text)
		}
	})
}
