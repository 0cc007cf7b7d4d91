package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

func TestBudget(t *testing.T) {
	for fds, want := range map[int]budget{
		256:     {connections: 144, refusals: 16, store: 64},
		1024:    {connections: 576, refusals: 64, store: 256},
		20_000:  {connections: 19_180, refusals: 64, store: 500},
		1 << 20: {connections: 1<<20 - 820, refusals: 64, store: 500},
		10:      {connections: 1, refusals: 4, store: 32},
	} {
		if got := budgetOf(fds); got != want {
			t.Errorf("of %d: %+v, want %+v", fds, got, want)
		}
	}
}

// TestTurnAway: everybody is told when to come back in a way that has them come back.
func TestTurnAway(t *testing.T) {
	why := hub.Errorf(hub.CodeRateLimited, "too often")
	w := httptest.NewRecorder()
	turnAway(w, httptest.NewRequest(http.MethodGet, "/v1/ws", nil), why, 3*time.Second)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "3" || !strings.Contains(w.Body.String(), `"code":4312`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/v1/sse", nil)
	r.Header.Set("Accept", "text/event-stream")
	turnAway(w, r, why, 3*time.Second)
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), "retry: 3000\n") || w.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("an EventSource: %d %v %s", w.Code, w.Header(), w.Body)
	}
}

// pipeListener gives out one connection.
type pipeListener struct {
	conns chan net.Conn
	done  context.Context
	close context.CancelFunc
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done.Done():
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.close(); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowClients: who sends a byte now and then is given up, in the header and in the body; who has sent all may wait for the answer.
func TestSlowClients(t *testing.T) {
	header := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n"
	for _, test := range []struct {
		what, say string
		want      time.Duration
	}{
		{"nothing", "", headerPatience},
		{"a header without an end", header, headerPatience},
		{"a body without an end", header + "\r\n", bodyPatience},
		{"a whole body", header + "\r\n" + strings.Repeat("x", 1000), time.Hour},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{log: slog.New(slog.DiscardHandler)}
				h := s.newHTTP(bodiesInTime(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						time.Sleep(time.Hour)
					}
					w.Header().Set("Connection", "close")
				})))
				near, far := net.Pipe()
				l := &pipeListener{conns: make(chan net.Conn, 1)}
				l.done, l.close = context.WithCancel(t.Context())
				l.conns <- far
				go h.Serve(l)
				started := time.Now()
				var writer sync.WaitGroup
				writer.Go(func() {
					_, err := io.WriteString(near, test.say)
					for ; err == nil && test.want < time.Hour && test.say != ""; time.Sleep(time.Second) {
						_, err = io.WriteString(near, "x")
					}
				})
				_, err := io.Copy(io.Discard, near)
				if took := time.Since(started); err != nil && !errors.Is(err, io.ErrClosedPipe) || took < test.want || took > test.want+2*time.Second {
					t.Errorf("%v after %s, want %s", err, took, test.want)
				}
				near.Close()
				h.Close()
				writer.Wait()
			})
		})
	}
}
