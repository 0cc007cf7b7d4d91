package latency

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are at most 1/32 wide, so that its 16 kB do not grow. The zero value is ready; one goroutine at a time may use it.
type Histogram struct {
	count   int
	max     time.Duration
	buckets [64 * 32]int
}

// Add counts one duration; a negative one as 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucketOf(d)]++
	h.count++
	h.max = max(h.max, d)
}

// bucketOf takes the highest bit and the five below it.
func bucketOf(d time.Duration) int {
	exponent := max(bits.Len64(uint64(d))-6, 0)
	return exponent*32 + int(d>>exponent)
}

// bound is the upper end of a bucket.
func bound(bucket int) time.Duration {
	exponent := max(bucket/32-1, 0)
	return time.Duration(bucket-exponent*32+1)<<exponent - 1
}

// Merge adds all that other has counted.
func (h *Histogram) Merge(other *Histogram) {
	h.count += other.count
	h.max = max(h.max, other.max)
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// Percentiles are in milliseconds, each at most 1/32 too high.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Count is how many durations there are.
func (h *Histogram) Count() int { return h.count }

// Percentiles sums up; all are 0 when nothing was counted.
func (h *Histogram) Percentiles() Percentiles {
	return Percentiles{h.percentile(0.50), h.percentile(0.90), h.percentile(0.95), h.percentile(0.99), milliseconds(h.max)}
}

func (h *Histogram) percentile(share float64) float64 {
	rank := int(share * float64(h.count))
	for i, n := range h.buckets {
		if rank -= n; rank < 0 {
			return milliseconds(min(bound(i), h.max))
		}
	}
	return milliseconds(h.max)
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
