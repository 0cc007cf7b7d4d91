package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is written as Go writes one ("1h30m", "250ms"), with days of 24 hours before the hours ("30d", "1d12h"). Never negative.
type Duration time.Duration

// Duration returns d as the standard library's.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

const day = 24 * time.Hour

// String writes d so that UnmarshalText reads it.
func (d Duration) String() string {
	days, rest := time.Duration(d)/day, time.Duration(d)%day
	switch {
	case days == 0:
		return rest.String()
	case rest == 0:
		return fmt.Sprintf("%dd", days)
	default:
		return fmt.Sprintf("%dd%s", days, rest)
	}
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	bad := errors.New("it must be a duration such as \"250ms\", \"24h\" or \"30d\"")
	s, days := string(text), uint64(0)
	if number, rest, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return bad
		}
		if s, days = rest, n; s == "" {
			s = "0"
		}
	}
	if s == "" || s[0] < '0' || s[0] > '9' { // no sign
		return bad
	}
	rest, err := time.ParseDuration(s)
	whole := time.Duration(days) * day
	if err != nil || rest > math.MaxInt64-whole {
		return bad
	}
	*d = Duration(whole + rest)
	return nil
}

// Size is a number of bytes, written as a number or with a unit of 1024s: "64KiB", "1MiB", "2GiB", "1TiB". Never negative.
type Size int64

var sizeUnits = []struct {
	name string
	is   int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String writes n with the largest unit that is exact.
func (n Size) String() string {
	for _, u := range sizeUnits[:4] {
		if n != 0 && int64(n)%u.is == 0 {
			return strconv.FormatInt(int64(n)/u.is, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(n), 10)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Size) UnmarshalText(text []byte) error {
	s, unit := string(text), int64(1)
	for _, u := range sizeUnits {
		if number, found := strings.CutSuffix(s, u.name); found {
			s, unit = strings.TrimRight(number, " "), u.is
			break
		}
	}
	v, err := strconv.ParseUint(s, 10, 63)
	if err != nil || int64(v) > math.MaxInt64/unit {
		return errors.New("it must be a number of bytes, or one with KiB, MiB, GiB or TiB such as \"64MiB\"")
	}
	*n = Size(int64(v) * unit)
	return nil
}

// Secret is a string that nothing prints; convert it to a string to use it.
type Secret string

// Format implements fmt.Formatter, for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = io.WriteString(f, "(secret)")
	}
}

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText implements encoding.TextMarshaler, so that no encoder writes it either.
func (s Secret) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

// Addresses are where a server listens: in a file one string or a list of them.
type Addresses []string

// String writes one address as itself, and several with commas, as a variable or flag has them.
func (a Addresses) String() string { return strings.Join(a, ",") }
