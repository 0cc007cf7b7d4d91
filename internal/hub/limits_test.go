package hub_test

import (
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

// TestSetLimits: limits may change while sessions are there; what a session has is not taken from it.
func TestSetLimits(t *testing.T) {
	h := open(t)
	s := h.NewSession(backend, hub.SessionOptions{}, hub.WakeFunc(func() {}))
	defer s.Close(0)
	enter := func(id string) error { return s.Enter("room", id, nil) }
	if err := enter("one"); err != nil {
		t.Fatal(err)
	}
	h.SetLimits(hub.Limits{Members: 1, MessageBytes: 10})
	if err := enter("two"); err == nil || !strings.Contains(err.Error(), "the limit is 1") {
		t.Errorf("a second member: %v", err)
	}
	if err := enter("one"); err != nil {
		t.Errorf("the member that is there: %v", err)
	}
	pub := []hub.Publication{{Channels: []string{"a"}, Data: []byte(`"0123456789"`)}}
	if _, err := h.PublishWait(t.Context(), backend, pub); err == nil || !strings.Contains(err.Error(), "message_bytes is 10") {
		t.Errorf("a message that is too large: %v", err)
	}
	h.SetLimits(hub.Limits{})
	if got := h.Limits(); got != hub.DefaultLimits {
		t.Errorf("the zero value gives %+v", got)
	}
	publish(t, h, pub...)
	if err := enter("two"); err != nil {
		t.Errorf("after the limit was raised: %v", err)
	}
}
