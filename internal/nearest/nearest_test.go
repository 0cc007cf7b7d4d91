package nearest

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	names := []string{"deliver", "messages", "age", "store"}
	for _, test := range []struct{ wrote, meant string }{
		{"delivr", "deliver"}, {"Deliver", "deliver"}, {"message", "messages"}, {"aeg", "age"}, {"stroe", "store"}, {"retention", ""}, {"", ""},
		{strings.Repeat("deliver", 100), ""},
	} {
		if got := Name(test.wrote, names); got != test.meant {
			t.Errorf("%.20q: %q, want %q", test.wrote, got, test.meant)
		}
	}
}
