package wire

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchAsksAndLooksLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var asked, checked []time.Duration
		w := NewWatch(
			func() { asked = append(asked, time.Since(start)) },
			func(at time.Time) bool {
				checked = append(checked, time.Since(at))
				return len(checked) < 3
			})
		defer w.Stop()
		time.Sleep(10 * Heartbeat)
		synctest.Wait()
		if len(asked) != 3 || asked[0] != Heartbeat || asked[2] != 3*Heartbeat {
			t.Errorf("asked at %v, want every %v until the third check", asked, Heartbeat)
		}
		for _, after := range checked {
			if after != Patience {
				t.Errorf("checked %v after asking, want %v", after, Patience)
			}
		}
	})
}

func TestAStoppedWatchIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		w := NewWatch(func() { calls++ }, func(time.Time) bool { calls++; return true })
		time.Sleep(Heartbeat + Patience/2)
		w.Stop()
		time.Sleep(10 * Heartbeat)
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d calls, want the one before Stop", calls)
		}
	})
}
