package local

import (
	"context"
	"fmt"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

func appendOne(t testing.TB, l *Log, e hub.Entry) hub.Result {
	t.Helper()
	done := make(chan []hub.Result, 1)
	l.Append([]hub.Entry{e}, func(r []hub.Result) { done <- r })
	return (<-done)[0]
}

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ch := hub.Channel{App: "a", Name: "c"}
	for i := range 1000 {
		r := appendOne(t, l, hub.Entry{Message: &hub.Message{Channel: ch, ID: fmt.Sprint(i), Data: []byte("1")}, Keep: hub.Retention{Messages: 100}})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	check := func() {
		p, err := l.Read(context.Background(), ch, hub.Query{Limit: 1000, Keep: hub.Retention{Messages: 100}})
		if err != nil || len(p.Messages) != 100 || p.Messages[0].ID != "900" {
			t.Fatal(err, len(p.Messages), p)
		}
	}
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
