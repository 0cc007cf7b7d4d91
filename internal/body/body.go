// Package body bounds what the bodies of all requests take together while they are read.
//
// A request counts with the bytes that have come, not with those that it announces: a claim costs the others nothing. When the budget is used up, those that
// ask for more are refused (hub.CodeOverloaded), and what is being read already goes on until it asks.
package body

import (
	"io"
	"sync/atomic"

	"github.com/snoserver/sno/internal/hub"
)

// Budget is a number of bytes that requests share. Safe for concurrent use.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{max: bytes} }

// Used is how many bytes are taken just now.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

// Share reads one body and takes from a budget what it has read.
type Share struct {
	from   io.Reader
	budget *Budget
	taken  int64
}

// Share reads from r. What it takes is given back by GiveBack, which has to be called once the body is not held any more.
func (b *Budget) Share(r io.Reader) *Share { return &Share{from: r, budget: b} }

// Read implements io.Reader.
func (s *Share) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if !s.budget.take(int64(n)) {
		return 0, hub.Errorf(hub.CodeOverloaded, "the server holds as many request bodies as it can; nothing was stored, try again shortly")
	}
	s.taken += int64(n)
	return n, err
}

// GiveBack ends the share.
func (s *Share) GiveBack() {
	s.budget.used.Add(-s.taken)
	s.taken = 0
}
