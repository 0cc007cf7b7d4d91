package telemetry

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxRoutes is how many routes have series of their own. The server has fewer; the bound holds whatever a mux calls a pattern.
const maxRoutes = 64

// otherRoute stands for requests that match none, and for routes beyond maxRoutes.
const otherRoute = "other"

// requests are counted by the route that they match, as the mux has it, never by their path.
type requests struct {
	count *prometheus.CounterVec
	time  *prometheus.HistogramVec

	mu     sync.RWMutex
	routes map[string]bool
}

func newRequests(r prometheus.Registerer) requests {
	f := factory{r}
	return requests{
		count:  f.counter("sno_http_requests_total", "HTTP requests that have been answered, by route and by class of status (2xx, 4xx, …).", "route", "class"),
		time:   f.histogram("sno_http_request_seconds", "How long requests took, by route. Those that carry a connection, or wait to have something to say, are not in it.", seconds, "route"),
		routes: map[string]bool{},
	}
}

// lasting says of which routes the duration means nothing: a connection lasts as long as its client likes, and a poll waits.
type lasting func(route string) bool

// HTTP counts the requests that next answers. next must set the request's Pattern, as a http.ServeMux does.
func (t *Telemetry) HTTP(next http.Handler, lasts lasting) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &responseWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			route := t.requests.route(r.Pattern)
			t.requests.count.WithLabelValues(route, strconv.Itoa(seen.status/100)+"xx").Inc()
			if !lasts(route) {
				t.requests.time.WithLabelValues(route).Observe(time.Since(began).Seconds())
			}
		}()
		next.ServeHTTP(seen, r)
	})
}

func (q *requests) route(pattern string) string {
	q.mu.RLock()
	known := q.routes[pattern]
	q.mu.RUnlock()
	if known {
		return pattern
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if pattern == "" || !q.routes[pattern] && len(q.routes) == maxRoutes {
		return otherRoute
	}
	q.routes[pattern] = true
	return pattern
}

// responseWriter notes the status. What else the connection can do is found by Unwrap, but for Hijack, which is asked for by assertion.
type responseWriter struct {
	http.ResponseWriter
	status int
	begun  bool
}

func (w *responseWriter) WriteHeader(status int) {
	if !w.begun && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.begun, w.status = true, status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && !w.begun { // a stream has its status already
		w.begun, w.status = true, http.StatusSwitchingProtocols
	}
	return c, rw, err
}
