package storetest

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

func (f *fixture) lister() hub.Lister {
	f.Helper()
	l, ok := f.Log.(hub.Lister)
	if !ok {
		f.Skip("this log does not list its channels")
	}
	return l
}

// testChannels lists the channels of every store together: names that are the beginnings of others, that sort before and behind all others, and those of another app.
func testChannels(f *fixture) {
	l := f.lister()
	if names, err := l.Channels(ctx, "app", "", "", 10); err != nil || len(names) != 0 {
		f.Fatalf("an empty log has %q, %v", names, err)
	}
	want := []string{"\x01reserved", " ", "a", "a\x00b", "a:1", "a:2", "ab", "b", "é", "\U0010ffff", strings.Repeat("long", 200)}
	slices.Sort(want)
	keeps := f.keeps()
	for i, name := range want {
		f.put(hub.Channel{App: "app", Name: name}, keeps[i%len(keeps)], "1")
		f.put(hub.Channel{App: "app\x00", Name: name + "not"}, keeps[i%len(keeps)], "1")
	}
	check := func(prefix, after string, limit int) {
		f.Helper()
		got, err := l.Channels(ctx, "app", prefix, after, limit)
		if err != nil {
			f.Fatalf("list %q after %q: %v", prefix, after, err)
		}
		if expect := listed(want, prefix, after, limit); !slices.Equal(got, expect) {
			f.Fatalf("%q after %q: got %q, want %q", prefix, after, got, expect)
		}
	}
	names := append([]string{"", "a:", "x", "\xff", "a\xff"}, want...)
	for _, prefix := range names {
		for _, after := range names {
			check(prefix, after, 1)
			check(prefix, after, 3)
			check(prefix, after, 100)
		}
	}
	if _, err := l.Channels(ctx, "app", "", "", 0); err == nil {
		f.Fatalf("a page without room was not refused")
	}
}

// listed is what a list must have.
func listed(names []string, prefix, after string, limit int) (page []string) {
	for _, name := range names {
		if name > after && strings.HasPrefix(name, prefix) && len(page) < limit {
			page = append(page, name)
		}
	}
	return page
}

// testChannelPages: pages of any size have every channel once, also after a restart.
func testChannelPages(f *fixture) {
	l := f.lister()
	f.needReopen()
	f.need(hub.StoreDisk)
	rapid.Check(f.TB, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringN(1, 8, 16), 1, 20, rapid.ID).Draw(t, "names")
		app := rapid.StringMatching("[a-z]{30}").Draw(t, "app")
		for _, name := range names {
			f.put(hub.Channel{App: app, Name: name}, all, "1")
		}
		slices.Sort(names)
		size := rapid.IntRange(1, 6).Draw(t, "page")
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			page, err := l.Channels(ctx, app, "", after, size)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, page...); len(page) < size {
				break
			}
		}
		if !slices.Equal(got, names) {
			t.Fatalf("pages of %d: got %q, want %q", size, got, names)
		}
	})
	f.put(chanA, all, "1")
	f.Log = f.Reopen()
	if names, err := f.lister().Channels(ctx, chanA.App, "", "", 10); err != nil || !slices.Equal(names, []string{chanA.Name}) {
		f.Fatalf("after a restart: %q, %v", names, err)
	}
}

func testKept(f *fixture) {
	l := f.lister()
	for _, keep := range f.readable() {
		size := 0
		for i, r := range f.fill(chanA, keep, 5) {
			if i >= 2 {
				size += entry(chanA, keep, r.ID).Message.Size()
			}
		}
		if keep.Messages = 3; f.put(chanA, keep, "last").Err != nil {
			f.Fatalf("not stored")
		}
		k, err := l.Kept(ctx, chanA, keep)
		if err != nil || k.Messages != 3 || k.Bytes != uint64(size) {
			f.Fatalf("%+v: %v; want 3 messages of %d bytes", k, err, size)
		}
		if k, err := l.Kept(ctx, chanB, keep); err != nil || k != (hub.Kept{}) {
			f.Fatalf("a channel that is not there keeps %+v, %v", k, err)
		}
	}
}
