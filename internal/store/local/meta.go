package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Keys of what is known of the log as a whole.
var (
	keySequence = []byte{kindMeta, 's'} // last offset given to a message on disk, and its time: written with every batch
	keyEpochs   = []byte{kindMeta, 'e'}
	keyRun      = []byte{kindMeta, 'r'}
	keyFloor    = []byte{kindMeta, 'f'}
)

// run says how the log was last opened, and whether it was closed since.
type run struct {
	Boot  string `json:"boot"`
	Sync  string `json:"sync"`
	Clean bool   `json:"clean"`
}

// floors is what is remembered of channels that are forgotten: the highest offset that any of them has had. A channel without a head begins
// there, so that a cursor from before it was forgotten meets a gap and not silence.
type floors struct {
	Offset uint64 `json:"offset"`
	Time   int64  `json:"time"` // when a channel was last forgotten
}

// meta is all of it, as it was found.
type meta struct {
	sequence uint64
	time     int64
	epochs   epochs
	run      run
	floors   floors
}

func appendSequence(b []byte, sequence uint64, time int64) []byte {
	b = binary.LittleEndian.AppendUint64(b, sequence)
	return binary.LittleEndian.AppendUint64(b, uint64(time))
}

func readMeta(db *pebble.DB) (m meta, err error) {
	b, err := getCopy(db, keySequence)
	if err != nil {
		return m, err
	}
	if len(b) == 16 {
		m.sequence, m.time = binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:]))
	} else if b != nil {
		return m, fmt.Errorf("the sequence number has %d bytes", len(b))
	}
	if b, err = getCopy(db, keyEpochs); err != nil {
		return m, err
	} else if b != nil {
		if m.epochs, err = parseEpochs(b); err != nil {
			return m, err
		}
	}
	for _, f := range []struct {
		key []byte
		to  any
	}{{keyRun, &m.run}, {keyFloor, &m.floors}} {
		if b, err = getCopy(db, f.key); err != nil {
			return m, err
		} else if b != nil {
			if err := json.Unmarshal(b, f.to); err != nil {
				return m, fmt.Errorf("meta %q: %w", f.key, err)
			}
		}
	}
	return m, nil
}

// getCopy returns nil for a key that is not there.
func getCopy(db *pebble.DB, key []byte) ([]byte, error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, v...), nil
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of this file
	}
	return b
}
