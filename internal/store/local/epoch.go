package local

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/snoserver/sno/internal/hub"
)

// fenceAt begins an epoch: the messages from offset First on, up to the next epoch, are of it.
type fenceAt struct {
	Epoch string `json:"epoch"`
	First uint64 `json:"first"`
}

// epochs are those of a log on disk, oldest first. There is a second one only when a suffix that had been acknowledged may have been lost.
type epochs []fenceAt

func newEpoch() string {
	var b [5]byte
	rand.Read(b[:])
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").EncodeToString(b[:])
}

// of returns the epoch of a message or head.
func (e epochs) of(offset uint64) string {
	for i := len(e) - 1; i > 0; i-- {
		if e[i].First <= offset {
			return e[i].Epoch
		}
	}
	return e[0].Epoch
}

func (e epochs) position(offset uint64) hub.Position {
	return hub.Position{Epoch: e.of(offset), Offset: offset}
}

// resolve says from where a cursor can be read on. A cursor of an earlier epoch is as good as any if it is from before the loss;
// otherwise it has seen what is lost, and from is where that began. Offset 0 without an epoch is before everything.
func (e epochs) resolve(p hub.Position) (from uint64, ok bool) {
	if p.Epoch == "" && p.Offset == 0 {
		return 0, true
	}
	for i := range e {
		if e[i].Epoch != p.Epoch {
			continue
		}
		if i+1 < len(e) && p.Offset >= e[i+1].First {
			return e[i+1].First - 1, false
		}
		return p.Offset, true
	}
	return 0, false
}

// begin adds an epoch for the messages from first on.
func (e epochs) begin(first uint64) epochs {
	next := append(epochs{}, e...)
	return append(next, fenceAt{newEpoch(), first})
}

func (e epochs) encode() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // two plain fields
	}
	return b
}

func parseEpochs(b []byte) (e epochs, err error) {
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("epochs: %w", err)
	}
	if len(e) == 0 {
		return nil, errors.New("epochs: none")
	}
	return e, nil
}

// ownID makes the id of a message that was published without one.
func ownID(epoch string, offset uint64) string {
	b := make([]byte, 0, len(epoch)+13)
	b = append(append(b, epoch...), '-')
	return string(strconv.AppendUint(b, offset, 36))
}
