package hub_test

import (
	"fmt"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

func TestOccupied(t *testing.T) {
	h := open(t)
	one, two := connect(t, h, backend), connect(t, h, backend)
	one.subscribe(t, "a:1", hub.From{})
	one.subscribe(t, "b", hub.From{})
	two.subscribe(t, "a:1", hub.From{})
	two.subscribe(t, "a:2", hub.From{})
	if err := one.Enter("a:1", "m", nil); err != nil {
		t.Fatal(err)
	}
	publishN(t, h, "a:3", 1) // stored, and followed by nobody
	for prefix, want := range map[string]string{
		"": "[{a:1 2 1} {a:2 1 0} {b 1 0}]", "a:": "[{a:1 2 1} {a:2 1 0}]", "c": "[]",
	} {
		got, err := h.Occupied(backend, prefix)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v; want %s", prefix, got, err, want)
		}
	}
	two.Close(0)
	for name, want := range map[string]hub.Occupancy{"a:1": {"a:1", 1, 1}, "a:2": {Name: "a:2"}} {
		if got, err := h.Occupancy(backend, name); err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	stranger := &hub.Grant{App: backend.App, Allow: []hub.Allow{{Pattern: "*", Actions: hub.ActionSubscribe}}}
	if _, err := h.Occupied(stranger, ""); err == nil {
		t.Error("who may not administer is told")
	}
	if _, err := h.Occupancy(stranger, "b"); err == nil {
		t.Error("who may not administer is told of one")
	}
}
