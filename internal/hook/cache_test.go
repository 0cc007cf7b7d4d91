package hook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestCacheAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache[int](10)
		var asked atomic.Int32
		ask := func(context.Context) (int, time.Duration, error) {
			time.Sleep(time.Second)
			return int(asked.Add(1)), time.Minute, nil
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if v, err := c.Do(t.Context(), KeyOf("a"), ask); v != 1 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Minute - 1)
		if v, _ := c.Do(t.Context(), KeyOf("a"), ask); v != 1 {
			t.Error("an answer was forgotten before its time")
		}
		time.Sleep(time.Nanosecond)
		if v, _ := c.Do(t.Context(), KeyOf("a"), ask); v != 2 {
			t.Error("an answer was kept after its time")
		}
	})
}

// Who asks first and goes away takes the answer from nobody; who waits can go.
func TestCacheWhoGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache[string](10)
		first, leave := context.WithCancel(t.Context())
		ask := func(ctx context.Context) (string, time.Duration, error) {
			select {
			case <-time.After(time.Second):
				return "answer", time.Minute, nil
			case <-ctx.Done():
				return "", 0, ctx.Err()
			}
		}
		go func() { _, _ = c.Do(first, KeyOf("a"), ask) }()
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		leave()
		if _, err := c.Do(impatient, KeyOf("a"), ask); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits no longer got %v", err)
		}
		if v, err := c.Do(t.Context(), KeyOf("a"), ask); v != "answer" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
	})
}

func TestCacheKeepsNoErrors(t *testing.T) {
	c, asked := NewCache[int](10), 0
	for range 3 {
		_, err := c.Do(t.Context(), KeyOf("a"), func(context.Context) (int, time.Duration, error) {
			asked++
			return 0, time.Minute, errors.New("no")
		})
		if err == nil {
			t.Error("the error got lost")
		}
	}
	if asked != 3 || c.recent.Len() != 0 || len(c.entries) != 0 {
		t.Errorf("asked %d times, %d entries", asked, c.recent.Len())
	}
}

// The cache is one of least recent use, of any size.
func TestCacheIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 5).Draw(t, "size")
		c := NewCache[int](size)
		var model []int // keys, the one used last at the end
		for range rapid.IntRange(1, 50).Draw(t, "uses") {
			key, asked := rapid.IntRange(0, 9).Draw(t, "key"), false
			v, err := c.Do(context.Background(), KeyOf(fmt.Sprint(key)), func(context.Context) (int, time.Duration, error) {
				asked = true
				return key, time.Hour, nil
			})
			if v != key || err != nil {
				t.Fatalf("got %d, %v", v, err)
			}
			there := false
			for i, k := range model {
				if k == key {
					there, model = true, append(model[:i:i], model[i+1:]...)
					break
				}
			}
			if model = append(model, key); len(model) > size {
				model = model[1:]
			}
			if asked == there || len(c.entries) != len(model) || c.recent.Len() != len(model) {
				t.Fatalf("key %d was asked for: %t, kept: %v, entries: %d", key, asked, model, len(c.entries))
			}
		}
	})
}

func TestKeys(t *testing.T) {
	seen := map[Key][]string{}
	for _, parts := range [][]string{nil, {""}, {"", ""}, {"a", "b"}, {"ab"}, {"ab", ""}, {"a", "b", ""}} {
		k := KeyOf(parts...)
		if other, twice := seen[k]; twice {
			t.Errorf("%q and %q have one key", parts, other)
		}
		seen[k] = parts
	}
}
