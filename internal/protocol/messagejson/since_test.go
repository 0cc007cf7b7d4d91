package messagejson

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

var now = time.Date(2026, 11, 22, 9, 20, 0, 0, time.UTC)

func TestParseSince(t *testing.T) {
	for s, want := range map[string]time.Time{
		"1795341600000":             time.UnixMilli(1795341600000),
		"0":                         time.UnixMilli(0),
		"10":                        time.UnixMilli(10), // no unit: a time, if a strange one
		"9007199254740991":          time.UnixMilli(1<<53 - 1),
		"2026-11-22T09:20:00Z":      now,
		"2026-11-22T11:20:00+02:00": now,
		"2026-11-22T09:20:00.5Z":    now.Add(500 * time.Millisecond),
		"0001-01-01T00:00:00Z":      time.UnixMilli(0),
		"10m":                       now.Add(-10 * time.Minute),
		"1h30m":                     now.Add(-90 * time.Minute),
		"250ms":                     now.Add(-250 * time.Millisecond),
		"1.5h":                      now.Add(-90 * time.Minute),
		"2d":                        now.Add(-48 * time.Hour),
		"1w2d3h":                    now.Add(-(9*24 + 3) * time.Hour),
		"0s":                        now,
		"100000d":                   time.UnixMilli(0), // 273 years: before 1970
	} {
		got, err := ParseSince(s, now)
		if err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
}

func TestParseSinceRefuses(t *testing.T) {
	for _, s := range []string{"", " ", "-1", "-10m", "+10m", "--1h", "d", "1.5d", "2d1w", "2d-3h", "2dd", "2d3", "1h2d", "10 m", "yesterday", "2026-11-22", "NaN",
		"9007199254740992", "99999999999999999999", "999999999999d", "106751d24h", "106751d23h47m17s", "9999999999999999h", "\xff", strings.Repeat("9", 1000)} {
		got, err := ParseSince(s, now)
		e, ok := errors.AsType[*hub.Error](err)
		if !ok || e.Code != hub.CodeBadRequest || len(e.Text) > 400 {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
}

func FuzzParseSince(f *testing.F) {
	for _, s := range []string{"1795341600000", "2026-11-22T09:20:00Z", "1w2d3h", "106751d23h47m17s", "-1", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseSince(s, now)
		if err == nil && got.UnixMilli() < 0 {
			t.Errorf("%q: %v is before 1970", s, got)
		}
		if _, ok := errors.AsType[*hub.Error](err); err != nil && !ok {
			t.Errorf("%q: %T", s, err)
		}
	})
}
