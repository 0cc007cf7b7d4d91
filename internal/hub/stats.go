package hub

// What Stats looks at, so that looking costs a bounded time however many there are.
const (
	statSessions = 10_000
	statCursors  = 100_000
)

// Stats is how the hub is just now.
type Stats struct {
	Sessions, Channels, Members int
	// Examined is how many of the sessions were looked at for what follows: all, or 10,000, or fewer if they have more than 100,000 cursors.
	Examined int
	// Behind is how many of them have a cursor that is behind its tail, FarBehind how many have one that has fallen out of it and reads the log.
	Behind, FarBehind int
	// Lag is the largest.
	Lag Lag
}

// Stats looks at the hub.
func (h *Hub) Stats() Stats {
	all, total := h.someSessions(statSessions)
	st := Stats{Sessions: total, Channels: h.registry.count()}
	if c, ok := h.presence.(MemberCounter); ok {
		st.Members = c.Total()
	}
	for cursors := 0; st.Examined < len(all) && cursors < statCursors; st.Examined++ {
		lag, n := all[st.Examined].lag(statCursors - cursors)
		cursors += n
		if lag.Messages > 0 {
			st.Behind++
		}
		if lag.AtLeast {
			st.FarBehind++
		}
		if lag.compare(st.Lag) > 0 {
			st.Lag = lag
		}
	}
	return st
}

// someSessions returns at most so many sessions, and how many there are.
func (h *Hub) someSessions(most int) (some []*Session, total int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	some = make([]*Session, 0, min(most, len(h.sessions)))
	for _, s := range h.sessions {
		if len(some) == most {
			break
		}
		some = append(some, s)
	}
	return some, len(h.sessions)
}

// lag is the largest of at most so many cursors, and how many it was.
func (s *Session) lag(most int) (largest Lag, cursors int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.subs.list {
		if cursors == most {
			break
		}
		cursors++
		l := u.lag()
		far := largest.AtLeast || l.AtLeast
		if l.compare(largest) > 0 {
			largest = l
		}
		largest.AtLeast = far
	}
	return largest, cursors
}

func (r *registry) count() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		n += len(s.live)
		s.mu.RUnlock()
	}
	return n
}
