package verify

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Roster checks the presence of one channel, for thousands who watch: each change is kept once, and who watches is little more than the version that it knows.
// Its methods may be called from any goroutine.
type Roster struct {
	mu        sync.Mutex
	c         *checker
	ch        *channel
	changes   map[uint64]change
	snapshots []snapshot
	watchers  []*Watcher
	settled   []snapshot
	wanted    map[string]string
	unsure    map[string]bool
}

type change struct{ action, member, data string }

// snapshot is who was there at a version, with their data; who says so.
type snapshot struct {
	who     string
	version uint64
	members map[string]string
}

// Watcher is one who follows the presence of the channel.
type Watcher struct {
	r       *Roster
	name    string
	version uint64
	placed  bool
}

// NewRoster makes one for the channel of that name.
func NewRoster(name string) *Roster {
	c := &checker{report: Report{Broken: map[Kind]int{}, Violations: []Violation{}}, channels: map[string]*channel{}}
	return &Roster{c: c, ch: c.channel(name), changes: map[uint64]change{}, wanted: map[string]string{}, unsure: map[string]bool{}}
}

// Watch adds one who watches.
func (r *Roster) Watch(name string) *Watcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &Watcher{r: r, name: name}
	r.watchers = append(r.watchers, w)
	return w
}

// Present says that the server has acknowledged a member with this data.
func (r *Roster) Present(member, data string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted[member] = data
}

// Absent says that the server has acknowledged that a member has left.
func (r *Roster) Absent(member string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.wanted, member)
}

// Unsure says that a change of a member has failed, so that nobody knows how it is.
func (r *Roster) Unsure(member string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsure[member] = true
}

// Snapshot takes who is there, as the watcher was told, with their data.
func (w *Watcher) Snapshot(version uint64, members map[string]string) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if w.placed && version < w.version {
		w.broken(KindNotIncreasing, "%s got the members of version %d after version %d", w.name, version, w.version)
	}
	w.r.c.report.Received++
	w.r.snapshots = append(w.r.snapshots, snapshot{w.name, version, members})
	w.version, w.placed = version, true
}

// Change takes one change, as the watcher was told.
func (w *Watcher) Change(version uint64, action, member, data string) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	w.r.c.report.Received++
	is := change{action, member, data}
	if was, known := w.r.changes[version]; known && was != is {
		w.broken(KindDisagreement, "%s got %v as version %d, and others %v", w.name, is, version, was)
	}
	w.r.changes[version] = is
	switch {
	case w.placed && version <= w.version:
		w.broken(KindRepeated, "%s got version %d after version %d", w.name, version, w.version)
		return
	case !w.placed || version != w.version+1:
		w.broken(KindGap, "%s got version %d after version %d", w.name, version, w.version)
	}
	w.version, w.placed = version, true
}

// Version is what the watcher knows.
func (w *Watcher) Version() uint64 {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return w.version
}

func (w *Watcher) broken(kind Kind, format string, args ...any) {
	w.r.c.broken(kind, w.r.ch, w.name, "", format, args...)
}

// Settled says that there were no further changes for as long as a watcher needs to hear of them, and that the server's version is this one.
func (r *Roster) Settled(version uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = append(r.settled, snapshot{"the acknowledgements", version, maps.Clone(r.wanted)})
	for _, w := range r.watchers {
		if w.version < version {
			w.broken(KindDiverged, "%s knows version %d when the channel is at version %d", w.name, w.version, version)
		}
	}
}

// Finish judges when nothing more comes. Acked is how many are there at the end.
func (r *Roster) Finish() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.c.report.Acked = len(r.wanted)
	now, version, known := map[string]string{}, uint64(0), false
	all := slices.Clone(r.snapshots)
	slices.SortStableFunc(all, func(a, b snapshot) int { return int(int64(a.version) - int64(b.version)) })
	versions := slices.Sorted(maps.Keys(r.changes))
	for i := 0; i < len(all) || len(versions) > 0; {
		if len(versions) == 0 || i < len(all) && all[i].version < versions[0] {
			if s := all[i]; known && s.version == version {
				r.compare(KindDisagreement, s, now)
			} else { // the first one, or the changes between were heard by nobody
				now, version, known = maps.Clone(s.members), s.version, true
				r.settle(version, now)
			}
			i++
			continue
		}
		v := versions[0]
		versions = versions[1:]
		if known = known && v == version+1; known {
			apply(now, r.changes[v])
			version = v
			r.settle(v, now)
		}
	}
	return r.c.report
}

func apply(now map[string]string, c change) {
	if c.action == "leave" {
		delete(now, c.member)
		return
	}
	now[c.member] = c.data
}

// settle compares what everybody was told up to a version with what was acknowledged.
func (r *Roster) settle(version uint64, now map[string]string) {
	for _, s := range r.settled {
		if s.version == version {
			r.compare(KindDiverged, s, now)
		}
	}
}

func (r *Roster) compare(kind Kind, s snapshot, now map[string]string) {
	for member, data := range s.members {
		if got, there := now[member]; !r.unsure[member] && (!there || got != data) {
			r.c.broken(kind, r.ch, s.who, member, "at version %d %s have it with %s, and who followed the changes with %s", s.version, s.who, said(data, true), said(got, there))
		}
	}
	for member, data := range now {
		if _, there := s.members[member]; !there && !r.unsure[member] {
			r.c.broken(kind, r.ch, s.who, member, "at version %d %s do not have it, and who followed the changes has it with %s", s.version, s.who, said(data, true))
		}
	}
}

func said(data string, there bool) string {
	if !there {
		return "nothing: it is not there"
	}
	return fmt.Sprintf("the data %.60q", data)
}
