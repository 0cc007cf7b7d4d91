package latency

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	for d := time.Duration(0); d < 1<<40; d = d*9/8 + 1 {
		b := bucketOf(d)
		if up := bound(b); up < d || up-d > d/32+1 || bucketOf(up) != b || bucketOf(up+1) != b+1 {
			t.Fatalf("%d is in bucket %d with the bound %d", d, b, up)
		}
	}
	var h Histogram
	for i := range 100 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	if p := h.Percentiles(); p.P50 < 50 || p.P50 > 53 || p.P99 < 99 || p.Max != 100 {
		t.Errorf("got %+v", p)
	}
	if p := new(Histogram).Percentiles(); p != (Percentiles{}) {
		t.Errorf("without a value: %+v", p)
	}
}

func TestPayload(t *testing.T) {
	for _, size := range []int{0, 64, 1000} {
		data := Stamp(12345, size)
		if sent, ok := Stamped(data); !ok || sent != 12345 || len(data) < size {
			t.Errorf("size %d: %s", size, data)
		}
	}
	for _, other := range []string{"", "1", `{"t":`, `{"t":x,}`} {
		if _, ok := Stamped([]byte(other)); ok {
			t.Errorf("%q was read", other)
		}
	}
}
