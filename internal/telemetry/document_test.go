package telemetry

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/outbox"
	"github.com/snoserver/sno/internal/store/local"
)

// used is a Telemetry of which every metric has a series.
func used() *Telemetry {
	t := New("1.2.3")
	t.Hub(func() hub.Stats { return hub.Stats{} })
	t.Store(func() local.Stats { return local.Stats{} })
	t.Sockets(func() (open, most int) { return 0, 1 })
	t.Outbox(func() []outbox.Status { return []outbox.Status{{App: "a", Endpoint: outbox.Endpoint{Name: "w"}}} })
	t.Sent("a", "w", 1, time.Second)
	t.Failed("a", "w")
	t.Died("a", "w")
	t.Missed("a", "w")
	t.Unrecorded("a")
	t.Refused(1, hub.CodeForbidden)
	t.RefusedConnection("bad_origin")
	t.conns.of("websocket").ended.WithLabelValues(gone)
	t.requests.count.WithLabelValues("GET /v1/messages", "2xx")
	t.requests.time.WithLabelValues("GET /v1/messages")
	return t
}

func TestMetricsAreNamedAsPrometheusAsks(t *testing.T) {
	problems, err := testutil.GatherAndLint(used().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestDocument compares docs/metrics.md with the registry: each has what the other has, and says the same of it.
func TestDocument(t *testing.T) {
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	families, err := used().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "sno_") {
			continue // the Go runtime's and the process's, which their collectors document
		}
		there[f.GetName()] = true
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), labels(f), f.GetHelp())
		if !strings.Contains(doc, row) {
			t.Errorf("docs/metrics.md lacks the row %s", row)
		}
	}
	for _, m := range regexp.MustCompile(`sno_[a-z_]+`).FindAllString(doc, -1) {
		name := m
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		if !there[name] && !there[m] {
			t.Errorf("docs/metrics.md names %s, which does not exist", m)
		}
	}
}

func labels(f *dto.MetricFamily) string {
	names := map[string]bool{}
	for _, l := range f.GetMetric()[0].GetLabel() {
		names["`"+l.GetName()+"`"] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}
