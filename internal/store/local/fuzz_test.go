package local

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

func encodeRecord(m *hub.Message, number uint64) []byte {
	b := make([]byte, recordLen(m))
	putRecord(b, number, m, m.Size())
	return b
}

// Whatever bytes a record has, it decodes to a message that encodes to the same bytes, or it does not decode.
func FuzzRecord(f *testing.F) {
	f.Add(uint64(1), uint64(2), encodeRecord(&hub.Message{ID: "i", Event: "e", Data: []byte("1"), Offset: 2}, 1), true)
	f.Add(uint64(0), uint64(0), []byte{}, false)
	f.Add(uint64(7), uint64(9), encodeRecord(&hub.Message{OwnID: true, Headers: map[string]string{"a": "b", "": "c"}, Binary: true, Offset: 9}, 7), true)
	f.Fuzz(func(t *testing.T, number, offset uint64, b []byte, fix bool) {
		if fix && len(b) >= recordHeader { // so that the fuzzer gets past the checksum
			sum := recordChecksum(b, number, offset)
			b = bytes.Clone(b)
			b[crcAt], b[crcAt+1], b[crcAt+2], b[crcAt+3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
		}
		parseBrief(b, true)
		m, ok := parseRecord(b, number, offset)
		if !ok {
			return
		}
		again, ok := parseRecord(encodeRecord(m, number), number, offset)
		if !ok || !reflect.DeepEqual(plainRecord(m), plainRecord(again)) {
			t.Fatalf("%+v came back as %+v", plainRecord(m), plainRecord(again))
		}
	})
}

func plainRecord(m *hub.Message) any {
	return []any{m.ID, m.OwnID, m.Event, string(m.Data), m.Binary, m.Headers, m.Client, m.Exclude, m.Time, m.Prev, m.Offset}
}

// A flipped bit anywhere in a record is noticed.
func TestRecordBits(t *testing.T) {
	m := &hub.Message{ID: "id", Event: "event", Data: []byte(`{"a":1}`), Headers: map[string]string{"k": "v"}, Offset: 5, Prev: 3, Time: 99}
	b := encodeRecord(m, 4)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if _, ok := parseRecord(b, 4, 5); ok {
			t.Fatalf("bit %d flipped and not noticed", i)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	if _, ok := parseRecord(b, 4, 6); ok {
		t.Fatal("a record under another's key was not noticed")
	}
}

// Keys name channels one-to-one, and no app's keys lie among another's.
func FuzzHeadKey(f *testing.F) {
	f.Add([]byte("h\x00\x01"), "app", "name")
	f.Add([]byte("hab\x00\xff\x00\x01x"), "a\x00", "\x00\x01")
	f.Add([]byte("h\x00\x02"), "", ">")
	f.Fuzz(func(t *testing.T, key []byte, app, name string) {
		if ch, ok := parseHeadKey(key); ok && !bytes.Equal(appendHeadKey(nil, ch), key) {
			t.Fatalf("%q is read as %q, which has another key", key, ch)
		}
		ch := hub.Channel{App: app, Name: name}
		if got, ok := parseHeadKey(appendHeadKey(nil, ch)); !ok || got != ch {
			t.Fatalf("%q came back as %q", ch, got)
		}
	})
}

func TestHeadKeysOneToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringOf(rapid.SampledFrom([]rune{0, 1, 'a', '>', '.'})), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		a := hub.Channel{App: text.Draw(t, "app"), Name: text.Draw(t, "name")}
		b := hub.Channel{App: text.Draw(t, "app"), Name: text.Draw(t, "name")}
		ka, kb := appendHeadKey(nil, a), appendHeadKey(nil, b)
		if (a == b) != bytes.Equal(ka, kb) {
			t.Fatalf("%q and %q have keys %q and %q", a, b, ka, kb)
		}
		// All of one app's lie together: the order of keys is that of apps first.
		if c := bytes.Compare([]byte(a.App), []byte(b.App)); c != 0 && bytes.Compare(ka, kb) != c {
			t.Fatalf("%q and %q are ordered otherwise as keys", a, b)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add(state{number: 1, last: 2, floor: 3, gone: 4, count: 5, bytes: 6, lastTime: 7, oldest: 8, age: 9}.append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseState(b); err == nil {
			if again, err := parseState(s.append(nil)); err != nil || again != s {
				t.Fatalf("%+v came back as %+v, %v", s, again, err)
			}
		}
	})
}

func TestStaleKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at, number := rapid.Int64Min(0).Draw(t, "at"), rapid.Uint64().Draw(t, "number")
		h := hashID(rapid.String().Draw(t, "id"))
		gotAt, gotNumber, gotHash, ok := parseStaleKey(appendStaleKey(nil, at, number, h))
		if !ok || gotAt != at || gotNumber != number || gotHash != h {
			t.Fatal("a key did not come back")
		}
	})
}
