package verify

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// told is one thing that a watcher is told: a snapshot, or a change.
type told struct {
	version  uint64
	snapshot map[string]string
	change   change
}

// scene is a channel's presence as two watchers were told of it, and what was acknowledged.
type scene struct {
	watchers [2][]told
	wanted   map[string]string
	unsure   []string
	version  uint64
}

// calm is a scene in which everything is as it should be: ann enters, bob enters, ann updates, bob leaves.
func calm() scene {
	all := func() []told {
		return []told{
			{version: 4, snapshot: map[string]string{}},
			{version: 5, change: change{"enter", "ann", "1"}}, {version: 6, change: change{"enter", "bob", "1"}},
			{version: 7, change: change{"update", "ann", "2"}}, {version: 8, change: change{"leave", "bob", ""}},
		}
	}
	return scene{watchers: [2][]told{all(), all()}, wanted: map[string]string{"ann": "2"}, version: 8}
}

func (s *scene) judge() Report {
	r := NewRoster("x")
	for i, all := range s.watchers {
		w := r.Watch(fmt.Sprint("w", i))
		for _, t := range all {
			if t.snapshot != nil {
				w.Snapshot(t.version, t.snapshot)
				continue
			}
			w.Change(t.version, t.change.action, t.change.member, t.change.data)
		}
	}
	r.Present("carl", "1")
	r.Absent("carl")
	for member, data := range s.wanted {
		r.Present(member, data)
	}
	for _, member := range s.unsure {
		r.Unsure(member)
	}
	r.Settled(s.version)
	return r.Finish()
}

func TestRoster(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*scene)
		want   []Kind
	}{
		"as it should be": {func(*scene) {}, nil},
		"a snapshot in the place of changes": {func(s *scene) {
			s.watchers[0] = append(s.watchers[0][:2], told{version: 7, snapshot: map[string]string{"ann": "2", "bob": "1"}}, s.watchers[0][4])
		}, nil},
		"everybody was too slow for some changes": {func(s *scene) {
			for i := range s.watchers {
				s.watchers[i] = []told{s.watchers[i][0], {version: 8, snapshot: map[string]string{"ann": "2"}}}
			}
		}, nil},
		"a change that failed, and was made or not": {func(s *scene) { s.wanted["dora"], s.unsure = "1", []string{"dora"} }, nil},
		"a change is left out":                      {func(s *scene) { s.watchers[0] = slices.Delete(s.watchers[0], 2, 3) }, []Kind{KindGap}},
		"a change comes twice":                      {func(s *scene) { s.watchers[0] = slices.Insert(s.watchers[0], 3, s.watchers[0][2]) }, []Kind{KindRepeated}},
		"two are told of different changes":         {func(s *scene) { s.watchers[1][2].change.data = "9" }, []Kind{KindDisagreement}},
		"a snapshot lacks somebody": {func(s *scene) {
			s.watchers[0] = append(s.watchers[0], told{version: 8, snapshot: map[string]string{}})
		}, []Kind{KindDisagreement}},
		"a snapshot has somebody who has left": {func(s *scene) {
			s.watchers[0] = append(s.watchers[0], told{version: 8, snapshot: map[string]string{"ann": "2", "bob": "1"}})
		}, []Kind{KindDisagreement}},
		"a snapshot has old data": {func(s *scene) {
			s.watchers[0] = append(s.watchers[0], told{version: 8, snapshot: map[string]string{"ann": "1"}})
		}, []Kind{KindDisagreement}},
		"a snapshot of before": {func(s *scene) {
			s.watchers[0] = append(s.watchers[0], told{version: 4, snapshot: map[string]string{}})
		}, []Kind{KindDiverged, KindNotIncreasing}}, // it is behind then
		"an update that nobody was told of": {func(s *scene) { s.wanted["ann"] = "3" }, []Kind{KindDiverged}},
		"a member that nobody was told of":  {func(s *scene) { s.wanted["dora"] = "1" }, []Kind{KindDiverged}},
		"a leave that nobody was told of":   {func(s *scene) { delete(s.wanted, "ann") }, []Kind{KindDiverged}},
		"everybody got a wrong snapshot": {func(s *scene) {
			for i := range s.watchers {
				s.watchers[i] = []told{{version: 8, snapshot: map[string]string{}}}
			}
		}, []Kind{KindDiverged}},
		"one has not heard of the end": {func(s *scene) { s.watchers[1] = s.watchers[1][:3] }, []Kind{KindDiverged}},
	} {
		t.Run(name, func(t *testing.T) {
			s := calm()
			test.change(&s)
			report := s.judge()
			if got := slices.Sorted(maps.Keys(report.Broken)); !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v: %+v", got, test.want, report.Violations)
			}
			for _, v := range report.Violations {
				if v.Promise == "" || v.Channel != "x" || v.Text == "" {
					t.Errorf("evidence is incomplete: %+v", v)
				}
			}
		})
	}
}

// Whatever members do, and whenever a watcher is given a snapshot instead of changes, a server that says the truth is believed.
func TestRosterOfEveryCorrectRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRoster("x")
		watchers := []*Watcher{r.Watch("a"), r.Watch("b"), r.Watch("c")}
		now, version := map[string]string{}, uint64(rapid.IntRange(0, 1000).Draw(t, "first"))
		for _, w := range watchers {
			w.Snapshot(version, map[string]string{})
		}
		behind := make([]bool, len(watchers))
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			member := rapid.SampledFrom([]string{"ann", "bob", "carl"}).Draw(t, "member")
			c := change{"enter", member, rapid.StringMatching("[0-9]{1,3}").Draw(t, "data")}
			if _, there := now[member]; there {
				c.action = rapid.SampledFrom([]string{"update", "leave"}).Draw(t, "action")
			}
			version++
			apply(now, c)
			if r.Present(member, c.data); c.action == "leave" {
				r.Absent(member)
			}
			for i, w := range watchers {
				switch {
				case rapid.IntRange(0, 9).Draw(t, "slow") == 0:
					behind[i] = true
				case behind[i]:
					w.Snapshot(version, maps.Clone(now))
					behind[i] = false
				default:
					w.Change(version, c.action, c.member, c.data)
				}
			}
		}
		for i, w := range watchers {
			if behind[i] {
				w.Snapshot(version, maps.Clone(now))
			}
			if w.Version() != version {
				t.Errorf("a watcher is at %d, want %d", w.Version(), version)
			}
		}
		r.Settled(version)
		if report := r.Finish(); !report.OK() || report.Acked != len(now) {
			t.Errorf("got %+v, with %v there", report, now)
		}
	})
}

func TestRosterAtOnce(t *testing.T) {
	const watchers, changes = 20, 300
	r := NewRoster("x")
	var all sync.WaitGroup
	for i := range watchers {
		w := r.Watch(fmt.Sprint("w", i))
		all.Go(func() {
			w.Snapshot(0, map[string]string{})
			for v := range uint64(changes) {
				w.Change(v+1, "update", "ann", fmt.Sprint(v))
			}
		})
	}
	all.Go(func() {
		for v := range changes {
			r.Present("ann", fmt.Sprint(v))
		}
	})
	all.Wait()
	r.Settled(changes)
	if report := r.Finish(); !report.OK() || report.Received != watchers*(changes+1) {
		t.Errorf("got %+v", report)
	}
}
