package telemetry

import (
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/snoserver/sno/internal/hub"
)

// seconds are the buckets of everything that is timed: from what memory takes to what nobody waits for.
var seconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Telemetry is the metrics of one server. Safe for concurrent use.
type Telemetry struct {
	registry *prometheus.Registry
	conns    connections
	messages messages
	commits  commits
	requests requests
	webhooks webhooks
}

var _ hub.Meter = (*Telemetry)(nil)

// New makes the metrics of a server of this version.
func New(version string) *Telemetry {
	t := &Telemetry{registry: prometheus.NewRegistry()}
	t.conns = newConnections(t.registry)
	t.messages = newMessages(t.registry)
	t.commits = newCommits(t.registry)
	t.requests = newRequests(t.registry)
	t.webhooks = newWebhooks(t.registry)
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sno_build_info", Help: "Always 1; the labels say which build runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	t.registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return t
}

// scrapePatience is how long a scrape may take before it is given up.
const scrapePatience = 10 * time.Second

// Handler serves the metrics.
func (t *Telemetry) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, Timeout: scrapePatience,
	})
}

// factory makes metrics and registers them.
type factory struct{ prometheus.Registerer }

func (f factory) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	f.MustRegister(c)
	return c
}

func (f factory) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	f.MustRegister(h)
	return h
}
