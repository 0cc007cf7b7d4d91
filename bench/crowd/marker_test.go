//go:build linux

package crowd_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/snoserver/sno/bench/crowd"
)

func TestMarkerTellsItsTime(t *testing.T) {
	for _, want := range []int64{0, 1, 9, 10, 255, 1795341600000000000, math.MaxInt64} {
		m := crowd.AppendMarker(nil, want)
		if got := crowd.MarkerTime(m[2:]); got != want || len(m) != crowd.MarkerSize {
			t.Errorf("%s tells %d, not %d", m, got, want)
		}
	}
}

func TestPayloadIsJSONOfItsSize(t *testing.T) {
	for _, size := range []int{0, 50, 200, 4096} {
		p := crowd.AppendPayload(nil, size)
		if !json.Valid(p) || len(p) != max(size, 33) || bytes.Count(p, []byte("@T")) != 1 {
			t.Errorf("%d bytes: %d, %s", size, len(p), p)
		}
	}
}

func TestBeginningLeavesAPartOfAMarker(t *testing.T) {
	whole := crowd.AppendMarker(nil, 7)
	for n := 1; n < len(whole); n++ {
		b := append([]byte("text "), whole[:n]...)
		if got := crowd.Beginning(b); got != 5 {
			t.Errorf("%q: cut at %d", b, got)
		}
	}
	if b := append([]byte("@"), "more than a marker's length"...); crowd.Beginning(b) != len(b) {
		t.Errorf("%q is cut at %d", b, crowd.Beginning(b))
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h crowd.Histogram
	if h.Quantile(.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	for i := range 1000 {
		h.Add(time.Duration(i+1)*time.Millisecond, 1)
	}
	for q, want := range map[float64]time.Duration{0: time.Millisecond, .5: 501 * time.Millisecond, .99: 991 * time.Millisecond, 1: time.Second} {
		got := h.Quantile(q)
		if got > want || float64(got) < float64(want)*(1-1.0/60) {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
	h.Add(math.MaxInt64, 1)
	h.Add(-time.Second, 1)
	if h.Count() != 1002 || h.Quantile(1) < 1000*time.Second {
		t.Errorf("%d, %v: a duration of centuries or less than nothing is not counted", h.Count(), h.Quantile(1))
	}
	h.Reset()
	if h.Count() != 0 || h.Quantile(1) != 0 {
		t.Error("something is left after a reset")
	}
}
