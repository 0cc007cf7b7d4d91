package local

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/storetest"
)

var update = flag.Bool("update", false, "write testdata/formatN anew; only for a format that was never released")

// Data directories that older versions wrote stay readable. Each format has one, which is not changed once that format has been released: it was left
// by a process that did not close it, so that there are tables and a WAL in it.
func TestFixture(t *testing.T) {
	old := filepath.Join("testdata", fmt.Sprint("format", formatVersion))
	if *update {
		writeFixture(t, old)
	}
	dir := t.TempDir()
	copyDir(t, old, dir)
	l := mustOpen(t, Options{Dir: dir})
	var first hub.Position
	for c := range 3 {
		ch := hub.Channel{App: "app\x00", Name: fmt.Sprint("channel ", c)}
		p, err := l.Read(bg, ch, hub.Query{Limit: 100, Keep: fixtureKeep})
		if err != nil || len(p.Messages) != 20 || p.Messages[0].Prev == 0 {
			t.Fatalf("%v: %d messages, %v", ch, len(p.Messages), err)
		}
		for i, m := range p.Messages {
			n := i + 40
			if n%2 == 0 && m.ID != fmt.Sprint("id-", n) || string(m.Data) != fmt.Sprintf(`{"n":%d}`, n) || m.Headers["n"] != fmt.Sprint(n) || m.Event != "e" || m.Client != "c" {
				t.Fatalf("%v: message %d is %+v", ch, i, m)
			}
		}
		last := p.Messages[19]
		if r := storetest.Append(t, l, fixtureEntry(ch, 58))[0]; !r.Duplicate || r.Position.Offset != p.Messages[18].Offset {
			t.Fatalf("%v: an id again: %+v", ch, r)
		}
		if r := storetest.Append(t, l, fixtureEntry(ch, 60))[0]; r.Err != nil || r.Prev != last.Offset || r.Position.Epoch != last.Epoch {
			t.Fatalf("%v: %+v after %v", ch, r, last.Position())
		}
		first = p.Messages[0].Position()
	}
	p, err := l.Read(bg, hub.Channel{App: "app\x00", Name: "channel 2"}, hub.Query{After: &hub.Position{Epoch: first.Epoch, Offset: 1}, Limit: 1, Keep: fixtureKeep})
	if err != nil || p.Reset != hub.ResetExpired {
		t.Fatalf("reset %q, %v", p.Reset, err)
	}
}

var fixtureKeep = hub.Retention{Messages: 20}

func fixtureEntry(ch hub.Channel, n int) hub.Entry {
	m := &hub.Message{Channel: ch, ID: fmt.Sprint("id-", n), Event: "e", Client: "c", Data: fmt.Appendf(nil, `{"n":%d}`, n), Headers: map[string]string{"n": fmt.Sprint(n)}}
	if m.OwnID = n%2 == 1; m.OwnID {
		m.ID = ""
	}
	return hub.Entry{Message: m, Keep: fixtureKeep}
}

func writeFixture(t *testing.T, to string) {
	o := Options{Dir: t.TempDir(), MemtableBytes: 64 << 10, BootID: "fixture"}
	l := mustOpen(t, o)
	for n := range 60 {
		for c := range 3 {
			if r := storetest.Append(t, l, fixtureEntry(hub.Channel{App: "app\x00", Name: fmt.Sprint("channel ", c)}, n))[0]; r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if n == 30 || n == 50 {
			if err := l.inst.Load().flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.witnessing.write(l.acked.Load(), false); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	copyDir(t, o.Dir, to)
	os.Remove(filepath.Join(to, lockFile))
}
