package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snoserver/sno/internal/admission"
	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/problem"
)

// budget is what the process's file descriptors are for.
type budget struct{ connections, refusals, store int }

// budgetOf shares out file descriptors. Some are kept for others than connections: the store's tables, connections on their way out, and the rest (listeners, log,
// webhooks, …), each a share of a small limit and a fixed number of a large one.
func budgetOf(fds int) budget {
	share := func(part, least, most int) int { return min(max(fds/part, least), most) }
	b := budget{refusals: share(16, 4, 64), store: share(4, 32, 500)}
	b.connections = max(fds-b.refusals-b.store-share(8, 16, 256), 1)
	return b
}

// fileDescriptors is how many the process may have. The Go runtime has raised the soft limit to the hard one.
func fileDescriptors() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("how many files may be open: %w", err)
	}
	return int(min(limit.Cur, 1<<30)), nil
}

// admits are the limits of a configuration: no more connections than there are file descriptors for.
func (s *Server) admits(l *config.Limits) admission.Limits {
	connections := s.budget.connections
	if own := l.Connections; own > connections {
		s.log.Warn("limits.connections is more than the limit of open files leaves; raise that (ulimit -n, LimitNOFILE)", "configured", own, "possible", connections)
	} else if own > 0 {
		connections = own
	}
	return admission.Limits{Connections: connections, Handshakes: l.Handshakes, PerAddress: l.ConnectsPerAddress, Burst: l.ConnectsBurst}
}

func (s *Server) newGate() *admission.Gate {
	return admission.New(admission.Options{
		Limits: s.admits(&s.cfg.Limits), Refusals: s.budget.refusals, Refuse: s.countedAway,
		Shared: func(a netip.Addr) bool { return a.IsLoopback() || s.trusted(a) },
	})
}

// countedAway is turnAway, counted. It writes nothing to the log: a line for each would be more load in an overload.
func (s *Server) countedAway(w http.ResponseWriter, r *http.Request, why *hub.Error, after time.Duration) {
	s.telemetry.RefusedConnection(why.Code.String())
	api.Share(w, r, s.allowed(r)) // what a page of another origin may not read ends its EventSource for ever
	turnAway(w, r, why, after)
}

// turnAway tells a client to come back later. A browser's EventSource gives up for ever at a status that is not 200, so it is told in its own words.
func turnAway(w http.ResponseWriter, r *http.Request, why *hub.Error, after time.Duration) {
	if r.Method == http.MethodGet && strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintf(w, "retry: %d\n: %s\n\n", after.Milliseconds(), why.Text)
		return
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(after.Round(time.Second).Seconds())))
	problem.WriteStatus(w, r, problem.Status(why.Code), why, nil)
}

// beginning has requests that begin a session wait for their turn, if it comes in time.
func (s *Server) beginning(most time.Duration, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.gate.Begin(w, r, clientOf(r).Address, most) {
			next(w, r)
		}
	}
}

// bodyPatience is how long the body of a request may take.
const bodyPatience = time.Minute

// bodiesInTime gives up on requests whose body does not come: a client that sends a byte now and then would hold on to what its request costs.
func bodiesInTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(bodyPatience)) // real connections can
			r.Body = &timedBody{r.Body, control}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody takes the deadline away at the body's end: what follows, such as a stream, may take as long as it likes.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) { // after another error net/http reads the rest, which must not take for ever either
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
