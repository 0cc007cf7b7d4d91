package messagejson

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// ParseSince reads a point in time in any of the forms of the protocol: milliseconds since 1970-01-01 UTC ("1795341600000"), an
// RFC 3339 date and time ("2026-11-22T09:20:00Z"), or a duration back from now in w, d, h, m, s, ms ("10m", "1h30m", "2d").
// What lies before 1970 counts as 1970. The error is a *hub.Error.
func ParseSince(s string, now time.Time) (time.Time, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms >= 0 && ms <= hub.MaxOffset {
		return time.UnixMilli(ms).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return notBefore1970(t), nil
	}
	if back, ok := parseBack(s); ok {
		return notBefore1970(now.Add(-back)), nil
	}
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	return time.Time{}, hub.Errorf(hub.CodeBadRequest,
		"since is %q; write milliseconds since 1970, a date and time such as \"2026-11-22T09:20:00Z\", or a duration such as \"10m\" or \"2d\"", s)
}

func notBefore1970(t time.Time) time.Time {
	if t.UnixMilli() < 0 {
		return time.UnixMilli(0).UTC()
	}
	return t.UTC()
}

// parseBack reads a duration: Go's, with weeks and days of 24 hours before the hours. No sign, as it always goes back.
func parseBack(s string) (time.Duration, bool) {
	var total time.Duration
	for _, unit := range []struct {
		name string
		is   time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, rest, found := strings.Cut(s, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || n > uint64((math.MaxInt64-total)/unit.is) {
			return 0, false
		}
		if total += time.Duration(n) * unit.is; rest == "" {
			return total, true
		}
		s = rest
	}
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if err != nil || d > math.MaxInt64-total {
		return 0, false
	}
	return total + d, true
}
