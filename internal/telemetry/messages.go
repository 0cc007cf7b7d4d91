package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snoserver/sno/internal/hub"
)

// messages are counted where the hub takes and gives them.
type messages struct {
	published *prometheus.CounterVec
	ok        prometheus.Counter // of published: looked up once and not for each message
	duplicate prometheus.Counter
	ack       prometheus.Observer
	delivered prometheus.Counter
	delivery  prometheus.Observer
	resets    map[hub.Reset]prometheus.Counter
}

func newMessages(r prometheus.Registerer) messages {
	f := factory{r}
	m := messages{
		published: f.counter("sno_published_messages_total", "Messages that were published, by what became of them: ok, duplicate, or the name of an error's code.", "code"),
		ack: f.histogram("sno_publish_ack_seconds", "From a publish's acceptance until it is stored as its channel's rule asks and about to be answered. One observation a publish.",
			seconds).WithLabelValues(),
		delivered: f.counter("sno_delivered_messages_total", "Messages that sessions have pulled: one published message counts once for each session.").WithLabelValues(),
		delivery: f.histogram("sno_delivery_seconds", "From a message's acceptance until a session that followed its channel by then has pulled it. "+
			"Of the messages pulled at once the oldest and the newest are observed.", seconds).WithLabelValues(),
		resets: map[hub.Reset]prometheus.Counter{},
	}
	m.ok, m.duplicate = m.published.WithLabelValues("ok"), m.published.WithLabelValues("duplicate")
	resets := f.counter("sno_resets_total", "Cursors that could not be honoured: their clients were told that messages may be missing.", "reason")
	for _, reason := range []hub.Reset{hub.ResetExpired, hub.ResetEpoch, hub.ResetAhead} {
		m.resets[reason] = resets.WithLabelValues(string(reason))
	}
	return m
}

// Published implements hub.Meter.
func (t *Telemetry) Published(results []hub.Result, took time.Duration) {
	m := &t.messages
	ok := 0
	for i := range results {
		switch r := &results[i]; {
		case r.Err != nil:
			shown, _ := hub.Show(r.Err)
			m.published.WithLabelValues(shown.Code.String()).Inc()
		case r.Duplicate:
			m.duplicate.Inc()
		default:
			ok++
		}
	}
	m.ok.Add(float64(ok))
	m.ack.Observe(took.Seconds())
}

// Refused implements hub.Meter.
func (t *Telemetry) Refused(n int, code hub.Code) {
	t.messages.published.WithLabelValues(code.String()).Add(float64(n))
}

// Pulled implements hub.Meter.
func (t *Telemetry) Pulled(p hub.Pulled) {
	t.messages.delivered.Add(float64(p.Messages))
	if p.Live > 0 {
		t.messages.delivery.Observe(p.Oldest.Seconds())
	}
	if p.Live > 1 {
		t.messages.delivery.Observe(p.Newest.Seconds())
	}
}

// Reset implements hub.Meter.
func (t *Telemetry) Reset(reason hub.Reset) { t.messages.resets[reason].Inc() }
