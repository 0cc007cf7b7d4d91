package server

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTidy: memory is given back once, a few seconds after a crowd is in or has gone, and not while clients come and go, or for a few of them.
func TestTidy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open, given atomic.Int64
		var often atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go tidy(ctx, func() (int, int) { return int(open.Load()), 0 }, often.Store, func() { given.Add(1) })
		for _, step := range []struct {
			what    string
			each    int64 // connections that come in a second
			seconds int
			want    int64
			often   bool // garbage is collected more often
		}{
			{"nobody", 0, 10, 0, false},
			{"a few", 9, 10, 0, false},
			{"then none: 90 are no crowd", 0, 10, 0, false},
			{"a crowd comes", 1000, 20, 0, true},
			{"and is in", 0, 10, 1, false},
			{"and stays", 0, 1000, 1, false},
			{"a few more than a thousandth a second, for long", 50, 100, 1, true},
			{"until they are in", 0, 10, 2, false},
			{"half of them go", -12_500, 1, 2, false},
			{"and do not come back", 0, 10, 3, false},
		} {
			for range step.seconds {
				open.Add(step.each)
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if given := given.Load(); given != step.want {
				t.Errorf("%s: memory was given back %d times, want %d", step.what, given, step.want)
			}
			if often.Load() != step.often {
				t.Errorf("%s: garbage is collected more often: %t", step.what, often.Load())
			}
		}
	})
}
