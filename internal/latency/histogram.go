package verify

import (
	"math/bits"
	"time"
)

// latencies counts durations in buckets that are at most 1/32 wide, so its size does not grow.
type latencies struct {
	count   int
	max     time.Duration
	buckets [64 * 32]int
}

func (l *latencies) add(d time.Duration) {
	d = max(d, 0)
	l.buckets[bucketOf(d)]++
	l.count++
	l.max = max(l.max, d)
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

func (l *latencies) merge(other *latencies) {
	l.count += other.count
	l.max = max(l.max, other.max)
	for i, n := range other.buckets {
		l.buckets[i] += n
	}
}

// Percentiles are in milliseconds, each at most 1/32 too high.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (l *latencies) percentiles() Percentiles {
	return Percentiles{l.percentile(0.50), l.percentile(0.95), l.percentile(0.99), milliseconds(l.max)}
}

func (l *latencies) percentile(share float64) float64 {
	rank := int(share * float64(l.count))
	for i, n := range l.buckets {
		if rank -= n; rank < 0 {
			return milliseconds(min(bound(i), l.max))
		}
	}
	return milliseconds(l.max)
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
