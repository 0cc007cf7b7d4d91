package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snoserver/sno/internal/outbox"
)

// webhooks are counted where the outbox sends. The names of apps and webhooks are the configuration's.
type webhooks struct {
	requests   *prometheus.CounterVec
	events     *prometheus.CounterVec
	time       *prometheus.HistogramVec
	dead       *prometheus.CounterVec
	missed     *prometheus.CounterVec
	unrecorded *prometheus.CounterVec
}

var _ outbox.Meter = (*Telemetry)(nil)

func newWebhooks(r prometheus.Registerer) webhooks {
	f := factory{r}
	return webhooks{
		requests:   f.counter("sno_webhook_requests_total", "Requests to webhooks, by whether they were taken: ok or failed.", "app", "webhook", "result"),
		events:     f.counter("sno_webhook_events_total", "Events that webhooks have taken.", "app", "webhook"),
		time:       f.histogram("sno_webhook_request_seconds", "How long webhooks took to answer requests that they have taken.", seconds, "app", "webhook"),
		dead:       f.counter("sno_webhook_dead_total", "Events that became dead letters: the webhook has not taken them in time.", "app", "webhook"),
		missed:     f.counter("sno_webhook_missed_total", "How often events were removed before a webhook had them, because too many waited or for too long.", "app", "webhook"),
		unrecorded: f.counter("sno_webhook_unrecorded_total", "Events of an app that could not be stored for its webhooks and that nobody will be told of.", "app"),
	}
}

// Sent implements outbox.Meter.
func (t *Telemetry) Sent(app, webhook string, events int, took time.Duration) {
	t.webhooks.requests.WithLabelValues(app, webhook, "ok").Inc()
	t.webhooks.events.WithLabelValues(app, webhook).Add(float64(events))
	t.webhooks.time.WithLabelValues(app, webhook).Observe(took.Seconds())
}

// Failed implements outbox.Meter.
func (t *Telemetry) Failed(app, webhook string) {
	t.webhooks.requests.WithLabelValues(app, webhook, "failed").Inc()
}

// Died implements outbox.Meter.
func (t *Telemetry) Died(app, webhook string) { t.webhooks.dead.WithLabelValues(app, webhook).Inc() }

// Missed implements outbox.Meter.
func (t *Telemetry) Missed(app, webhook string) {
	t.webhooks.missed.WithLabelValues(app, webhook).Inc()
}

// Unrecorded implements outbox.Meter.
func (t *Telemetry) Unrecorded(app string) { t.webhooks.unrecorded.WithLabelValues(app).Inc() }

// outboxState is what a look at the outbox tells of each webhook.
type outboxState struct {
	look              func() []outbox.Status
	lag, parked, dead *prometheus.Desc
}

// Outbox has each scrape look at the webhooks. To be called once.
func (t *Telemetry) Outbox(look func() []outbox.Status) {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"app", "webhook"}, nil)
	}
	t.registry.MustRegister(&outboxState{
		look:   look,
		lag:    desc("sno_webhook_lag_seconds", "How long the oldest event waits that the webhook has not taken and that is not a dead letter."),
		parked: desc("sno_webhook_parked_channels", "Channels with an event that the webhook has not taken; the other channels go on."),
		dead:   desc("sno_webhook_dead_letters", "Dead letters that are kept."),
	})
}

// Describe implements prometheus.Collector.
func (s *outboxState) Describe(to chan<- *prometheus.Desc) {
	to <- s.lag
	to <- s.parked
	to <- s.dead
}

// Collect implements prometheus.Collector.
func (s *outboxState) Collect(to chan<- prometheus.Metric) {
	for _, w := range s.look() {
		for desc, v := range map[*prometheus.Desc]float64{s.lag: w.Lag().Seconds(), s.parked: float64(w.Parked), s.dead: float64(w.Dead)} {
			to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, w.App, w.Endpoint.Name)
		}
	}
}
