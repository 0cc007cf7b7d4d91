package outbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	// censusChunk is how many names a message of a census has at most.
	censusChunk = 1000
	// A census is taken after so many events, or bytes of events, or so long: what was before it need not be kept.
	censusEvents = 10_000
	censusBytes  = 8 << 20
	censusEvery  = time.Hour
)

// census is a part of what the log says is there, as of a position in the log of events: what has to be vacated and removed after a start if it does not come back. The parts
// of one have a run in common; the last of them says how many they are and of which position.
type census struct {
	Run      string              `json:"run"`
	Channels []string            `json:"channels,omitempty"`
	Members  map[string][]string `json:"members,omitempty"` // by channel
	Parts    int                 `json:"parts,omitempty"`
	Epoch    string              `json:"epoch,omitempty"`
	Offset   uint64              `json:"offset,omitempty"`
}

// takeCensus writes down what is there as of a position.
func takeCensus(there []key, at hub.Position) (parts []census) {
	slices.SortFunc(there, func(a, b key) int {
		if c := strings.Compare(a.channel, b.channel); c != 0 {
			return c
		}
		return strings.Compare(a.member, b.member)
	})
	run := rand.Text()
	for some := range slices.Chunk(there, censusChunk) {
		part := census{Run: run, Members: map[string][]string{}}
		for _, k := range some {
			if k.member == "" {
				part.Channels = append(part.Channels, k.channel)
			} else {
				part.Members[k.channel] = append(part.Members[k.channel], k.member)
			}
		}
		parts = append(parts, part)
	}
	return append(parts, census{Run: run, Parts: len(parts) + 1, Epoch: at.Epoch, Offset: at.Offset})
}

// censusReader puts the parts together. What is not whole, because the server was killed while it was written, counts for nothing.
type censusReader struct {
	run     string
	parts   int
	pending map[key]bool

	there map[key]bool
	at    *hub.Position // nil: there is none
}

func (r *censusReader) add(data []byte) {
	var c census
	if json.Unmarshal(data, &c) != nil {
		return
	}
	if c.Run != r.run || r.pending == nil {
		r.run, r.parts, r.pending = c.Run, 0, map[key]bool{}
	}
	r.parts++
	for _, name := range c.Channels {
		r.pending[key{channel: name}] = true
	}
	for name, members := range c.Members {
		for _, m := range members {
			r.pending[key{name, m}] = true
		}
	}
	if c.Parts > 0 && c.Parts == r.parts {
		r.there, r.at, r.pending = r.pending, &hub.Position{Epoch: c.Epoch, Offset: c.Offset}, nil
	}
}

// readCensus returns what the log says is there, and where the log of events ends.
func readCensus(ctx context.Context, log Log, app string) (map[key]bool, hub.Position, error) {
	r := censusReader{there: map[key]bool{}}
	if _, err := each(ctx, log, censusOf(app), nil, hub.Retention{}, func(m *hub.Message) { r.add(m.Data) }); err != nil {
		return nil, hub.Position{}, err
	}
	head, err := each(ctx, log, eventsOf(app), r.at, hub.Retention{}, func(m *hub.Message) {
		if e, err := readRecord(m); err == nil && e.To == "" {
			replay(r.there, &e)
		}
	})
	return r.there, head, err
}

// replay has an event change what is there.
func replay(there map[key]bool, r *record) {
	switch r.Type {
	case ChannelOccupied:
		there[key{channel: r.Channel}] = true
	case ChannelVacated:
		delete(there, key{channel: r.Channel})
	case MemberAdded:
		there[key{r.Channel, r.Member}] = true
	case MemberRemoved:
		delete(there, key{r.Channel, r.Member})
	}
}

// keepCensus stores a census in place of the one before.
func keepCensus(ctx context.Context, log Log, app string, there []key, at hub.Position) error {
	ch := censusOf(app)
	before, err := log.Head(ctx, ch, hub.Retention{})
	if err != nil {
		return err
	}
	var entries []hub.Entry
	for _, part := range takeCensus(there, at) {
		data, err := json.Marshal(&part)
		if err != nil {
			return err
		}
		entries = append(entries, hub.Entry{Message: &hub.Message{Channel: ch, OwnID: true, Data: data}})
	}
	for some := range slices.Chunk(entries, 64) {
		if err := appendAll(ctx, log, some...); err != nil {
			return err
		}
	}
	return log.Trim(ctx, ch, before.Offset)
}
