package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

// commits are timed where the store makes them.
type commits struct {
	time     prometheus.Observer
	messages prometheus.Observer
}

func newCommits(r prometheus.Registerer) commits {
	f := factory{r}
	return commits{
		time:     f.histogram("sno_store_commit_seconds", "How long it took until a batch of messages was on disk.", seconds).WithLabelValues(),
		messages: f.histogram("sno_store_commit_messages", "How many messages were in a batch that was committed at once.", prometheus.ExponentialBuckets(1, 4, 7)).WithLabelValues(),
	}
}

// Committed is for local.Options.Committed.
func (t *Telemetry) Committed(messages int, took time.Duration) {
	t.commits.messages.Observe(float64(messages))
	t.commits.time.Observe(took.Seconds())
}

// value is a metric that is looked up when it is scraped.
type value[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(S) float64
}

func gauge[S any](name, help string, of func(S) float64) value[S] {
	return value[S]{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, of}
}

// state is what one look tells.
type state[S any] struct {
	look   func() S
	values []value[S]
}

// Describe implements prometheus.Collector.
func (s *state[S]) Describe(to chan<- *prometheus.Desc) {
	for _, v := range s.values {
		to <- v.desc
	}
}

// Collect implements prometheus.Collector.
func (s *state[S]) Collect(to chan<- prometheus.Metric) {
	seen := s.look()
	for _, v := range s.values {
		to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(seen))
	}
}

// Hub has each scrape look at a hub. To be called once.
func (t *Telemetry) Hub(look func() hub.Stats) {
	type st = hub.Stats
	t.registry.MustRegister(&state[st]{look, []value[st]{
		gauge("sno_sessions", "Sessions there are just now.", func(s st) float64 { return float64(s.Sessions) }),
		gauge("sno_sessions_examined", "Sessions that this scrape has looked at for the lag: all, but at most 10,000, or with 100,000 cursors.", func(s st) float64 { return float64(s.Examined) }),
		gauge("sno_sessions_behind", "Sessions examined that have not pulled the newest message of all their channels. A few are always on the way.", func(s st) float64 { return float64(s.Behind) }),
		gauge("sno_sessions_far_behind", "Sessions examined that are so far behind that they read the log and not the tail in memory.", func(s st) float64 { return float64(s.FarBehind) }),
		gauge("sno_largest_lag_messages", "How many messages the session is behind that is furthest. One that reads the log is at least so far behind.", func(s st) float64 { return float64(s.Lag.Messages) }),
		gauge("sno_live_channels", "Channels that somebody follows.", func(s st) float64 { return float64(s.Channels) }),
		gauge("sno_presence_members", "Members of all channels.", func(s st) float64 { return float64(s.Members) }),
	}})
}

// Sockets has each scrape look at how many connections to the server there are, whatever they are for, and how many there may be. To be called once.
func (t *Telemetry) Sockets(look func() (open, most int)) {
	type st struct{ open, most int }
	t.registry.MustRegister(&state[st]{func() (s st) { s.open, s.most = look(); return s }, []value[st]{
		gauge("sno_sockets", "TCP connections to the public listeners, whatever they are for.", func(s st) float64 { return float64(s.open) }),
		gauge("sno_sockets_limit", "How many of them there may be; further ones are refused.", func(s st) float64 { return float64(s.most) }),
	}})
}

// Store has each scrape look at a log. To be called once.
func (t *Telemetry) Store(look func() local.Stats) {
	type st = local.Stats
	failures := gauge("sno_store_failures_total", "Writes and fsyncs that failed; after each the store is opened again.", func(s st) float64 { return float64(s.Failures) })
	failures.kind = prometheus.CounterValue
	t.registry.MustRegister(&state[st]{look, []value[st]{
		failures,
		gauge("sno_store_disk_bytes", "Bytes of the store's files.", func(s st) float64 { return float64(s.DiskBytes) }),
		gauge("sno_store_disk_free_bytes", "Bytes that are free on the store's disk.", func(s st) float64 { return float64(s.Free) }),
		gauge("sno_store_memory_bytes", "Bytes of the messages that are kept in memory only.", func(s st) float64 { return float64(s.MemoryBytes) }),
		gauge("sno_store_queue_bytes", "Bytes of the messages that wait to be stored.", func(s st) float64 { return float64(s.QueueBytes) }),
	}})
}
