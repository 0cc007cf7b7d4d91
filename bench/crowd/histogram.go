//go:build linux

package crowd

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets of a microsecond, and above 64 µs in 64 buckets for each power of two, so that a value it tells is at most 1.6 % below the true one.
// Its zero value is ready. Adding costs no allocation.
type Histogram struct {
	buckets [64 * 40]uint64
	count   uint64
}

// Add counts n durations of d.
func (h *Histogram) Add(d time.Duration, n uint64) {
	h.buckets[bucket(max(0, d))] += n
	h.count += n
}

// Reset forgets everything.
func (h *Histogram) Reset() { *h = Histogram{} }

// Count is how many durations there are.
func (h *Histogram) Count() uint64 { return h.count }

// Quantile is the duration that a share q (0 to 1) of them does not exceed, within a bucket; 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	wanted, seen := uint64(q*float64(h.count)), uint64(0)
	for i, n := range h.buckets {
		if seen += n; seen > wanted || seen == h.count && seen > 0 {
			return lower(i)
		}
	}
	return 0
}

func bucket(d time.Duration) int {
	us := uint64(d.Microseconds())
	if us < 64 {
		return int(us)
	}
	shift := bits.Len64(us) - 7
	return min(64*(shift+1)+int(us>>shift&63), len(Histogram{}.buckets)-1)
}

// lower is the least duration of a bucket.
func lower(i int) time.Duration {
	if i < 64 {
		return time.Duration(i) * time.Microsecond
	}
	return time.Duration(64+i%64) << (i/64 - 1) * time.Microsecond
}
