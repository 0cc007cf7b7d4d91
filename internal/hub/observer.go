package hub

// Observer is told when a channel gets its first subscriber here and when the last one goes, and who enters and leaves. What it is told of one channel, or of one
// member of a channel, it is told in the order in which it happens. Its methods are called under locks: they are fast, do not block and do not call the hub.
// Publishing and delivering know nothing of it.
type Observer interface {
	Occupied(ch Channel)
	Vacated(ch Channel)
	// Entered and Left tell of a member, not of its sessions: it is there from the first to the last of them, and for its grace.
	Entered(ch Channel, member string)
	Left(ch Channel, member string)
}

// Observe tells the observer of everything that is there in an app just now, for one that has not listened to what happened in it before. What happens
// meanwhile it is told as ever, so it may hear twice that something is there.
func (h *Hub) Observe(app string) {
	if h.observer == nil {
		return
	}
	for _, l := range h.registry.all() {
		if l.channel.App == app {
			l.observe(h.observer)
		}
	}
	if p, ok := h.presence.(interface{ observe(app string) }); ok {
		p.observe(app)
	}
}

// observe tells o of the channel if anybody follows it. Under the lock under which that changes, so that no end of it is told before.
func (l *live) observe(o Observer) {
	l.subsMu.Lock()
	defer l.subsMu.Unlock()
	if l.crowd.Load() > 0 {
		o.Occupied(l.channel)
	}
}
