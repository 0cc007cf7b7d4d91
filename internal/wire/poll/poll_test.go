package poll

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler ends its answers with a word.
type handler struct{ *wiretest.Handler }

func (h handler) Conclude(dst []byte) []byte { return append(dst, `,"end"`...) }

// ask polls once, in the bubble of a test, and lets do make the handler's part.
func ask(wait time.Duration, do func(*wiretest.Handler)) (*httptest.ResponseRecorder, time.Duration) {
	e := &Endpoint{Refuse: func(w http.ResponseWriter, _ *http.Request, code int, reason string) { http.Error(w, reason, code) }}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil)
	start := time.Now()
	e.Serve(w, r, []byte("frames"), wait, func(c wire.Conn) Handler {
		h := wiretest.New(c)
		go do(h)
		return handler{h}
	})
	return w, time.Since(start)
}

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name string
		wait time.Duration
		do   func(*wiretest.Handler)
		want string
		took time.Duration
	}{
		{"nothing until the wait is over", 20 * time.Second, func(*wiretest.Handler) {}, `["end"]`, 20 * time.Second},
		{"quiet frames wait", 20 * time.Second, func(h *wiretest.Handler) { h.Send(`,1`) }, `[1,"end"]`, 20 * time.Second},
		{"news is told at once", 20 * time.Second, func(h *wiretest.Handler) {
			h.Send(`,1`)
			time.Sleep(3 * time.Second)
			h.Then(wire.Next{News: true})
			h.Send(`,2`, `,3`)
		}, `[1,2,3,"end"]`, 3 * time.Second},
		{"answers are waited for", time.Second, func(h *wiretest.Handler) {
			h.Then(wire.Next{News: true, Waiting: true})
			h.Send(`,1`)
			time.Sleep(5 * time.Second)
			h.Then(wire.Next{News: true})
			h.Send(`,2`)
		}, `[1,2,"end"]`, 5 * time.Second},
		{"but not for ever", time.Second, func(h *wiretest.Handler) {
			h.Then(wire.Next{Waiting: true})
			h.Send(`,1`)
		}, `[1,"end"]`, time.Second + overtime},
		{"a plain poll does not wait", 0, func(*wiretest.Handler) {}, `["end"]`, 0},
		{"the end is told", 20 * time.Second, func(h *wiretest.Handler) {
			h.Send(`,1`)
			h.Then(wire.Next{End: 4200, News: true})
		}, `[1,"end"]`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, took := ask(test.wait, test.do)
				if got := strings.TrimSpace(w.Body.String()); got != test.want {
					t.Errorf("the answer is %s, want %s", got, test.want)
				}
				if took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
			})
		})
	}
}

// TestNoAnswerWaitsForNothing asks often, because it is a matter of which goroutine goes on first: that the frames have been taken in is known before it is told.
func TestNoAnswerWaitsForNothing(t *testing.T) {
	for range 5000 {
		synctest.Test(t, func(t *testing.T) {
			if _, took := ask(0, func(*wiretest.Handler) {}); took != 0 {
				t.Errorf("an answer took %v", took)
			}
		})
		if t.Failed() {
			return
		}
	}
}

func TestWhatEndsBeforeItBeganHasAStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := ask(time.Second, func(h *wiretest.Handler) { h.Then(wire.Next{End: 418, Reason: "no coffee"}) })
		if w.Code != 418 || w.Body.String() != "no coffee\n" {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	})
}

func TestAnAnswerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frame := fmt.Sprintf(",%q", strings.Repeat("x", 64<<10))
		w := httptest.NewRecorder()
		new(Endpoint).Serve(w, httptest.NewRequest(http.MethodPost, "/", nil), nil, time.Second, func(c wire.Conn) Handler {
			h := wiretest.New(c) // has everything before it is first asked
			h.Send(slices.Repeat([]string{frame}, 100)...)
			h.Then(wire.Next{News: true})
			return handler{h}
		})
		if n := w.Body.Len(); n < enough || n > enough+2*len(frame) || !strings.HasSuffix(w.Body.String(), `,"end"]`+"\n") {
			t.Errorf("the answer has %d bytes", n)
		}
	})
}

// TestTheHandlerHearsOfAClientThatGoes also while it waits for answers to leave.
func TestTheHandlerHearsOfAClientThatGoes(t *testing.T) {
	e := &Endpoint{}
	handlers := make(chan *wiretest.Handler, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.Serve(w, r, nil, time.Hour, func(c wire.Conn) Handler {
			h := wiretest.New(c)
			h.Block = make(chan struct{})
			handlers <- h
			return handler{h}
		})
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			t.Error("the poll was answered")
		}
	}()
	h := <-handlers
	cancel()
	wiretest.Wait(t, "end", h.Ended)
	<-done
}

// stuck is a response that its client does not read.
type stuck struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (s *stuck) SetWriteDeadline(at time.Time) error { s.deadline = at; return nil }

func (s *stuck) Write([]byte) (int, error) {
	time.Sleep(time.Until(s.deadline)) // for ever, in effect, if there is none: the bubble would say so
	return 0, os.ErrDeadlineExceeded
}

func TestAnswerThatIsNotReadIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var h *wiretest.Handler
		new(Endpoint).Serve(&stuck{ResponseRecorder: httptest.NewRecorder()}, httptest.NewRequest(http.MethodPost, "/", nil), nil, 0, func(c wire.Conn) Handler {
			h = wiretest.New(c)
			return handler{h}
		})
		if took := time.Since(start); took != writePatience {
			t.Errorf("it took %v", took)
		}
		<-h.Ended
	})
}
