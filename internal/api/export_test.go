package api

import (
	"maps"
	"slices"
	"testing"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

// Paths are the patterns of the API's own paths.
func Paths() []string { return slices.Sorted(maps.Keys(routes)) }

// OpenBroken starts an API of the key shop-1 with Secret whose log fails as it is told.
func OpenBroken(t *testing.T) (url string, fails func(error)) {
	b := &broken{}
	dir := t.TempDir()
	s := openOn(t, func(sink hub.Sink) (log hub.Log, err error) {
		b.Log, err = local.Open(local.Options{Dir: dir, Sink: sink})
		return b, err
	})
	return s.url, b.fails
}

// Secret is that of the key shop-1.
const Secret = secret
