package telemetry

import "github.com/snoserver/sno/internal/wire/poll"

// Poll is Connection for the handler of a poll. An answer that has ended as it should counts as a goodbye.
func (t *Telemetry) Poll(h poll.Handler) poll.Handler {
	c := t.Connection("poll", h).(*connection)
	return &polled{connection: c, poll: h}
}

type polled struct {
	*connection
	poll poll.Handler
}

// Conclude implements poll.Handler.
func (p *polled) Conclude(dst []byte) []byte {
	out := p.poll.Conclude(dst)
	p.of.sent.Add(float64(len(out) - len(dst)))
	p.answered = true
	return out
}
