package body

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

func TestBudgetIsShared(t *testing.T) {
	b := NewBudget(10)
	first := b.Share(strings.NewReader("123456"))
	if got, err := io.ReadAll(first); string(got) != "123456" || err != nil || b.Used() != 6 {
		t.Fatalf("%q, %v, %d used", got, err, b.Used())
	}
	second := b.Share(strings.NewReader("12345"))
	_, err := io.ReadAll(second)
	if shown, ok := errors.AsType[*hub.Error](err); !ok || shown.Code != hub.CodeOverloaded || b.Used() != 6 {
		t.Errorf("beyond the budget: %v, %d used", err, b.Used())
	}
	first.GiveBack()
	first.GiveBack()
	second.GiveBack()
	if b.Used() != 0 {
		t.Errorf("%d are used by nobody", b.Used())
	}
	if got, err := io.ReadAll(b.Share(strings.NewReader("1234567890"))); len(got) != 10 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestBudgetHoldsUnderConcurrency: whatever the interleaving, no more is taken than there is, and all comes back.
func TestBudgetHoldsUnderConcurrency(t *testing.T) {
	const most, size = 1000, 300
	b := NewBudget(most)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			s := b.Share(strings.NewReader(strings.Repeat("x", size)))
			defer s.GiveBack()
			got, err := io.ReadAll(s)
			if err == nil && len(got) != size {
				t.Errorf("%d bytes without an error", len(got))
			}
			if s.taken > most {
				t.Errorf("%d bytes were taken of %d", s.taken, most)
			}
		})
	}
	all.Wait()
	if b.Used() != 0 {
		t.Errorf("%d are used by nobody", b.Used())
	}
}
