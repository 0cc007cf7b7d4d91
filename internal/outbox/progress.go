package outbox

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// maxParked bounds the channels that an endpoint goes around because it has not taken an event of theirs.
const maxParked = 32

// progress is how far an endpoint has got: everything up to the cursor is settled (taken by the endpoint, dead, or not for it) but for what is parked. It is what
// the log keeps of an endpoint. A courier guards it with its lock.
type progress struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
	// Failing is since when every request has failed, in Unix milliseconds; 0: the last has not.
	Failing int64     `json:"failing,omitempty"`
	Parked  []*parked `json:"parked,omitempty"`

	// taken is up to where the round that goes on has taken the log. The events of a parked channel up to there are its visitor's, all others the round's.
	taken uint64
}

// parked is a channel that the endpoint goes around: its events from At up to where rounds have taken the log wait for a visitor.
type parked struct {
	Channel  string `json:"channel"`
	At       uint64 `json:"at"`
	Time     int64  `json:"time"` // when the event at At came into the log
	Failures int    `json:"failures,omitempty"`

	// Not kept, since after a start all are visited.
	due      time.Time // the next visit
	inRow    int       // failures since the endpoint was back: backoff goes by these
	visiting bool
}

func readProgress(data []byte) (*progress, error) {
	var p progress
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	p.Parked = slices.DeleteFunc(p.Parked, func(k *parked) bool { return k == nil })
	p.taken = p.Offset
	return &p, nil
}

func (p *progress) cursor() hub.Position { return hub.Position{Epoch: p.Epoch, Offset: p.Offset} }

// honour takes the log's word on a cursor that it could not honour: rounds go on where it says. A log that has lost its past has lost what was parked.
func (p *progress) honour(page *hub.Page) {
	if page.Reset == "" {
		return
	}
	if page.Start.Epoch != p.Epoch {
		p.Parked = nil
	}
	p.Epoch, p.Offset, p.taken = page.Start.Epoch, page.Start.Offset, page.Start.Offset
}

// take takes what a page has for the endpoint, up to as many channels as could all be parked.
func (p *progress) take(page []*hub.Message, wants func(*record) bool) (records []record) {
	channels := map[string]bool{}
	for _, m := range page {
		r, err := readRecord(m)
		if err == nil && wants(&r) && p.find(r.Channel) == nil {
			if !channels[r.Channel] && len(channels)+len(p.Parked) >= maxParked {
				break
			}
			channels[r.Channel] = true
			records = append(records, r)
		}
		p.taken = m.Offset
	}
	return records
}

func (p *progress) find(channel string) *parked {
	if i := slices.IndexFunc(p.Parked, func(k *parked) bool { return k.Channel == channel }); i >= 0 {
		return p.Parked[i]
	}
	return nil
}

// park has rounds go around the channel of a record, from that on.
func (p *progress) park(r *record, failures int, due time.Time) {
	p.Parked = append(p.Parked, &parked{Channel: r.Channel, At: r.Offset, Time: r.Logged, Failures: failures, inRow: failures, due: due})
}

// unpark gives a channel back to the rounds if its visitor has come to where they have taken the log.
func (p *progress) unpark(k *parked) bool {
	if k.At <= p.taken {
		return false
	}
	p.Parked = slices.DeleteFunc(p.Parked, func(o *parked) bool { return o == k })
	return true
}

// next returns the parked channel whose visit is due and longest so, or else when one is; zero: none will be.
func (p *progress) next(now time.Time) (k *parked, at time.Time) {
	for _, o := range p.Parked {
		if !o.visiting && (k == nil || o.due.Before(k.due)) {
			k = o
		}
	}
	switch {
	case k == nil:
		return nil, time.Time{}
	case k.due.After(now):
		return nil, k.due
	}
	return k, now
}

// oldest is when the oldest event came into the log that is parked, in Unix milliseconds; 0: nothing is.
func (p *progress) oldest() (at int64) {
	for _, k := range p.Parked {
		if at == 0 || k.Time < at {
			at = k.Time
		}
	}
	return at
}

const (
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Minute
)

// backoff is how long to wait after so many failures in a row: twice as long after each, and up to a fifth more or less, so that those who failed together
// do not come back together.
func backoff(failures int) time.Duration {
	d := maxBackoff
	if failures < 10 {
		d = min(firstBackoff<<max(failures-1, 0), maxBackoff)
	}
	return d - d/5 + rand.N(2*d/5)
}
