package telemetry

import (
	"fmt"
	"testing"
)

// TestRoutesAreBounded, whatever a mux says that a request's pattern is: of some redirects it says the path.
func TestRoutesAreBounded(t *testing.T) {
	q := &New("").requests
	for i := range 10 * maxRoutes {
		pattern := fmt.Sprintf("GET /%d", i)
		want := pattern
		if i >= maxRoutes {
			want = otherRoute
		}
		if got := q.route(pattern); got != want {
			t.Fatalf("route %d is %q, want %q", i, got, want)
		}
	}
	if got := q.route("GET /0"); got != "GET /0" {
		t.Errorf("a known route is %q", got)
	}
	if got := q.route(""); got != otherRoute {
		t.Errorf("no route is %q", got)
	}
}
