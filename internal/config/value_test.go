package config

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"0": 0, "0s": 0, "250ms": 250 * time.Millisecond, "1h30m": 90 * time.Minute, "30d": 30 * day, "1d12h": 36 * time.Hour, "0d": 0,
		"1.5h": 90 * time.Minute} {
		var d Duration
		if err := d.UnmarshalText([]byte(s)); err != nil || d.Duration() != want {
			t.Errorf("%q: %v, %v, want %v", s, d.Duration(), err, want)
		}
	}
	for _, s := range []string{"", "5", "-1h", "+1h", "1d-1h", "d", "1.5d", "1d2", "1h1d", "106752d", "106751d24h", "99999999999999999999d", "1 h", "1d1d"} {
		var d Duration
		if err := d.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q: %v, want an error", s, d)
		}
	}
}

func TestSize(t *testing.T) {
	for s, want := range map[string]Size{"0": 0, "17": 17, "17B": 17, "64KiB": 64 << 10, "64 MiB": 64 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40, "9223372036854775807": 1<<63 - 1} {
		var n Size
		if err := n.UnmarshalText([]byte(s)); err != nil || n != want {
			t.Errorf("%q: %d, %v, want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "B", "-1", "+1", "1.5MiB", "1MB", "1mib", "1M", "8388608TiB", "9223372036854775808", "MiB", "1KiBKiB"} {
		var n Size
		if err := n.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q: %d, want an error", s, n)
		}
	}
}

func FuzzValues(f *testing.F) {
	f.Add("1d12h")
	f.Add("64MiB")
	f.Fuzz(func(t *testing.T, s string) {
		var d, again Duration
		if d.UnmarshalText([]byte(s)) == nil && (d < 0 || again.UnmarshalText([]byte(d.String())) != nil || d != again) {
			t.Errorf("%q: %d is written as %q", s, d, d)
		}
		var n, same Size
		if n.UnmarshalText([]byte(s)) == nil && (n < 0 || same.UnmarshalText([]byte(n.String())) != nil || n != same) {
			t.Errorf("%q: %d is written as %q", s, n, n)
		}
	})
}
