package load

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"syscall"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// refusals counts errors by their kind.
type refusals struct {
	mu     sync.Mutex
	byName map[string]*Refusal
}

func (r *refusals) add(err error) {
	name, code := kindOf(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName == nil {
		r.byName = map[string]*Refusal{}
	}
	if r.byName[name] == nil {
		r.byName[name] = &Refusal{Name: name, Code: code, Text: err.Error()}
	}
	r.byName[name].Count++
}

// kindOf names an error so that there are few names.
func kindOf(err error) (name string, code int) {
	if e, ok := errors.AsType[*hub.Error](err); ok {
		return e.Code.String(), int(e.Code)
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error(), 0
	}
	switch {
	case errors.Is(err, client.ErrNoWelcome):
		return "no welcome in time", 0
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time", 0
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed", 0
	case errors.Is(err, client.ErrClosed):
		return "given up", 0
	}
	return "other", 0
}

// list returns them, most frequent first.
func (r *refusals) list() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []Refusal{}
	for _, e := range r.byName {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Refusal) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name)) })
	return all
}

// has says whether there was such an error of the system.
func (r *refusals) has(e syscall.Errno) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[e.Error()] != nil
}
