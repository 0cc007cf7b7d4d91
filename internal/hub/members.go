package hub

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	keptChanges = 256  // of a channel
	keptRosters = 1024 // of channels without members, so that followers see the last one leave
)

// members is the Presence of one process.
type members struct {
	grace    time.Duration
	changed  func(Channel)
	observer Observer // nil: there is none

	mu       sync.Mutex
	rosters  map[Channel]*roster
	sessions map[string]map[memberKey]struct{} // what each session stands for
	empty    []Channel                         // rosters that became empty, oldest first
	total    int                               // members of all rosters
	// high is a version that no roster ever had a higher one than. It begins with the time: a version that a client has from before a restart is never taken for one of now.
	high uint64
}

var (
	_ Presence      = (*members)(nil)
	_ MemberCounter = (*members)(nil)
)

// roster is who is in one channel.
type roster struct {
	members map[string]*member
	version uint64
	changes []Change // the newest, oldest first
	retired bool     // is in members.empty
}

type member struct {
	data     []byte
	sessions map[string]time.Time // when the grace of a lost one ends; zero: it is there
}

func newMembers(grace time.Duration, changed func(Channel)) *members {
	return &members{grace: grace, changed: changed, rosters: map[Channel]*roster{}, sessions: map[string]map[memberKey]struct{}{}, high: uint64(time.Now().UnixMicro())}
}

// Enter implements Presence.
func (p *members) Enter(ch Channel, session string, m Member) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.roster(ch)
	key := memberKey{ch, m.ID}
	if p.sessions[session] == nil {
		p.sessions[session] = map[memberKey]struct{}{}
	}
	p.sessions[session][key] = struct{}{}
	there := r.members[m.ID]
	switch {
	case there == nil:
		there = &member{sessions: map[string]time.Time{}}
		r.members[m.ID] = there
		p.total++
		p.change(ch, r, MemberEntered, m)
	case !bytes.Equal(there.data, m.Data):
		p.change(ch, r, MemberUpdated, m)
	}
	there.data = m.Data
	for old, ends := range there.sessions {
		if !ends.IsZero() && old != session {
			p.forget(old, key)
			delete(there.sessions, old)
		}
	}
	there.sessions[session] = time.Time{}
	return nil
}

func (p *members) roster(ch Channel) *roster {
	r := p.rosters[ch]
	if r == nil {
		r = &roster{members: map[string]*member{}, version: p.high}
		p.rosters[ch] = r
	}
	return r
}

// Leave implements Presence.
func (p *members) Leave(ch Channel, session, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(session, memberKey{ch, id})
}

// Lost implements Presence.
func (p *members) Lost(session string, lastHeard int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ends := time.UnixMilli(lastHeard).Add(p.grace)
	left := time.Until(ends)
	for key := range p.sessions[session] {
		if left <= 0 {
			p.leave(session, key)
		} else if m := p.rosters[key.channel].members[key.id]; m != nil {
			m.sessions[session] = ends
		}
	}
	if len(p.sessions[session]) > 0 {
		time.AfterFunc(left, func() { p.expire(session) })
	}
}

// expire ends what a lost session has not entered again: it may have come back.
func (p *members) expire(session string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.sessions[session] {
		m := p.rosters[key.channel].members[key.id]
		if m == nil {
			continue
		}
		if ends := m.sessions[session]; !ends.IsZero() && !time.Now().Before(ends) {
			p.leave(session, key)
		}
	}
}

func (p *members) leave(session string, key memberKey) {
	if _, stands := p.sessions[session][key]; !stands {
		return
	}
	p.forget(session, key)
	r := p.rosters[key.channel]
	m := r.members[key.id]
	delete(m.sessions, session)
	if len(m.sessions) > 0 {
		return
	}
	delete(r.members, key.id)
	p.total--
	p.change(key.channel, r, MemberLeft, Member{ID: key.id, Data: m.data})
	if len(r.members) == 0 {
		p.retire(key.channel, r)
	}
}

func (p *members) forget(session string, key memberKey) {
	if delete(p.sessions[session], key); len(p.sessions[session]) == 0 {
		delete(p.sessions, session)
	}
}

// retire keeps the roster of a channel without members for a while.
func (p *members) retire(ch Channel, r *roster) {
	if !r.retired {
		r.retired = true
		p.empty = append(p.empty, ch)
	}
	if len(p.empty) <= keptRosters {
		return
	}
	oldest := p.empty[0]
	p.empty = p.empty[1:]
	p.rosters[oldest].retired = false
	if len(p.rosters[oldest].members) == 0 {
		delete(p.rosters, oldest)
	}
}

func (p *members) change(ch Channel, r *roster, event PresenceEvent, m Member) {
	r.version++
	p.high = max(p.high, r.version)
	if len(r.changes) == keptChanges {
		r.changes = slices.Delete(r.changes, 0, keptChanges/2)
	}
	r.changes = append(r.changes, Change{Version: r.version, Event: event, Member: m})
	p.changed(ch)
	switch {
	case p.observer == nil:
	case event == MemberEntered:
		p.observer.Entered(ch, m.ID)
	case event == MemberLeft:
		p.observer.Left(ch, m.ID)
	}
}

// observe tells the observer who is there in the channels of an app.
func (p *members) observe(app string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ch, r := range p.rosters {
		if ch.App != app {
			continue
		}
		for id := range r.members {
			p.observer.Entered(ch, id)
		}
	}
}

// Members implements Presence.
func (p *members) Members(ch Channel) ([]Member, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.roster(ch)
	if len(r.members) == 0 {
		p.retire(ch, r) // kept for a while, so that the next change follows this version
	}
	all := make([]Member, 0, len(r.members))
	for _, id := range slices.Sorted(maps.Keys(r.members)) {
		all = append(all, Member{ID: id, Data: r.members[id].data, Sessions: len(r.members[id].sessions)})
	}
	return all, r.version
}

// Count implements MemberCounter.
func (p *members) Count(ch Channel) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.rosters[ch]; r != nil {
		return len(r.members)
	}
	return 0
}

// Total implements MemberCounter.
func (p *members) Total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// Changes implements Presence.
func (p *members) Changes(ch Channel, after uint64) ([]Change, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rosters[ch]
	switch {
	case r == nil || after > r.version:
		return nil, false
	case after == r.version:
		return nil, true
	case len(r.changes) == 0 || r.changes[0].Version > after+1:
		return nil, false
	}
	return slices.Clone(r.changes[after+1-r.changes[0].Version:]), true
}
