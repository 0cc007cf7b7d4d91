package messagejson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
)

// decoded is a message as encoding/json reads it.
type decoded struct {
	Channel   string            `json:"channel"`
	ID        string            `json:"id"`
	Event     string            `json:"event"`
	Data      json.RawMessage   `json:"data"`
	Base64    *string           `json:"base64"`
	Headers   map[string]string `json:"headers"`
	Client    string            `json:"client"`
	Time      int64             `json:"time"`
	Epoch     *string           `json:"epoch"`
	Offset    *uint64           `json:"offset"`
	Prev      *uint64           `json:"prev"`
	Ephemeral bool              `json:"ephemeral"`
}

func TestAppend(t *testing.T) {
	chat := hub.Channel{App: "shop", Name: "chat:1"}
	for _, test := range []struct {
		name string
		m    *hub.Message
		want string
	}{
		{"as the specification shows it", &hub.Message{Channel: chat, ID: "m-17", Event: "said", Data: []byte(`{"text":"hi"}`), Client: "ann",
			Time: 1795341600000, Epoch: "k3x9", Offset: 1207, Prev: 1190},
			`{"channel":"chat:1","id":"m-17","event":"said","data":{"text":"hi"},"client":"ann","time":1795341600000,"epoch":"k3x9","offset":1207,"prev":1190}`},
		{"optional fields left out, no data is null", &hub.Message{Channel: chat, ID: "a", Time: 1, Epoch: "e", Offset: 1},
			`{"channel":"chat:1","id":"a","data":null,"time":1,"epoch":"e","offset":1,"prev":0}`},
		{"data byte for byte", &hub.Message{Channel: chat, ID: "a", Data: []byte(`{ "n": 1.50, "b":1e2, "n":2 , "s":"\u00e4"}`), Epoch: "e", Offset: 1},
			`{"channel":"chat:1","id":"a","data":{ "n": 1.50, "b":1e2, "n":2 , "s":"\u00e4"},"time":0,"epoch":"e","offset":1,"prev":0}`},
		{"binary", &hub.Message{Channel: chat, ID: "a", Data: []byte{0xfb, 0xff, 0}, Binary: true, Epoch: "e", Offset: 1},
			`{"channel":"chat:1","id":"a","base64":"+/8A","time":0,"epoch":"e","offset":1,"prev":0}`},
		{"no bytes are binary too", &hub.Message{Channel: chat, ID: "a", Binary: true, Epoch: "e", Offset: 1},
			`{"channel":"chat:1","id":"a","base64":"","time":0,"epoch":"e","offset":1,"prev":0}`},
		{"ephemeral has no position", &hub.Message{Channel: chat, ID: "a", Data: []byte("1"), Ephemeral: true, Time: 7},
			`{"channel":"chat:1","id":"a","data":1,"time":7,"ephemeral":true}`},
		{"headers sorted", &hub.Message{Channel: chat, ID: "a", Headers: map[string]string{"b": "2", "a": "1", "c": "3"}, Ephemeral: true},
			`{"channel":"chat:1","id":"a","data":null,"headers":{"a":"1","b":"2","c":"3"},"time":0,"ephemeral":true}`},
		{"the greatest offset", &hub.Message{Channel: chat, ID: "a", Epoch: "e", Offset: hub.MaxOffset, Prev: hub.MaxOffset - 1},
			`{"channel":"chat:1","id":"a","data":null,"time":0,"epoch":"e","offset":9007199254740991,"prev":9007199254740990}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := string(Append([]byte("["), test.m))
			if got != "["+test.want {
				t.Errorf("got  %s\nwant [%s", got, test.want)
			}
		})
	}
}

func TestAppendString(t *testing.T) {
	for s, want := range map[string]string{
		"":                     `""`,
		"plain äöü 🎿 <&>":      `"plain äöü 🎿 <&>"`,
		"a\"b\\c":              `"a\"b\\c"`,
		"\n\r\t\b\x00\x1f\x7f": "\"\\n\\r\\t\\u0008\\u0000\\u001f\x7f\"",
		"bad\xffutf\xc3":       `"bad` + "\uFFFD" + `utf` + "\uFFFD" + `"`,
		"\uFFFD kept":          `"` + "\uFFFD" + ` kept"`,
		"\u2028":               "\"\u2028\"",
	} {
		if got := string(AppendString(nil, s)); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("chat:1", "m-17", "said", []byte(`{"text":"hi"}`), "ann", "h", "v", int64(1795341600000), uint64(1207), false, false)
	f.Add("\x00\"\\", "\xff", "\n", []byte("\xff\xfe"), "\u2028", "", "\x7f", int64(-1), uint64(1)<<53, true, false)
	f.Add("", "", "", []byte(" [1, 2] "), "", "h", "", int64(0), uint64(0), false, true)
	f.Fuzz(func(t *testing.T, channel, id, event string, data []byte, client, header, value string, time int64, offset uint64, binary, ephemeral bool) {
		if !binary && (!json.Valid(data) || !utf8.Valid(data)) {
			data = nil
		}
		m := &hub.Message{Channel: hub.Channel{App: "a", Name: channel}, ID: id, Event: event, Data: data, Client: client, Time: time,
			Headers: map[string]string{header: value}, Epoch: id, Offset: offset, Prev: offset / 2, Binary: binary, Ephemeral: ephemeral}
		b := Append(nil, m)
		if !utf8.Valid(b) {
			t.Fatalf("not UTF-8: %q", b)
		}
		var got decoded
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		same(t, &got, m)
	})
}

// same fails unless got says of m all that there is to say.
func same(t *testing.T, got *decoded, m *hub.Message) {
	t.Helper()
	for _, pair := range [][2]string{{got.Channel, m.Channel.Name}, {got.ID, m.ID}, {got.Event, m.Event}, {got.Client, m.Client}} {
		if pair[0] != readable(pair[1]) {
			t.Errorf("got %q of %q", pair[0], pair[1])
		}
	}
	for k, v := range m.Headers {
		if got.Headers[readable(k)] != readable(v) {
			t.Errorf("header %q: got %q of %q", k, got.Headers[readable(k)], v)
		}
	}
	if m.Binary {
		if b, err := base64.StdEncoding.DecodeString(*got.Base64); err != nil || !bytes.Equal(b, m.Data) || got.Data != nil {
			t.Errorf("base64 %q of %q: %v", *got.Base64, m.Data, err)
		}
	} else if m.Data != nil && !bytes.Equal(got.Data, bytes.Trim(m.Data, " \t\r\n")) {
		t.Errorf("data %q of %q", got.Data, m.Data)
	}
	samePosition(t, got, m)
}

func samePosition(t *testing.T, got *decoded, m *hub.Message) {
	t.Helper()
	if got.Time != m.Time || got.Ephemeral != m.Ephemeral {
		t.Errorf("got time %d, ephemeral %t of %d, %t", got.Time, got.Ephemeral, m.Time, m.Ephemeral)
	}
	if m.Ephemeral {
		if got.Epoch != nil || got.Offset != nil || got.Prev != nil {
			t.Error("an ephemeral message with a position")
		}
	} else if *got.Epoch != readable(m.Epoch) || *got.Offset != m.Offset || *got.Prev != m.Prev {
		t.Errorf("got %s:%d after %d of %s after %d", *got.Epoch, *got.Offset, *got.Prev, m.Position(), m.Prev)
	}
}

// readable replaces what is not UTF-8 as encoding/json does: each bad byte for itself.
func readable(s string) string {
	return strings.Map(func(r rune) rune { return r }, s)
}

func BenchmarkAppend(b *testing.B) {
	m := &hub.Message{Channel: hub.Channel{App: "shop", Name: "chat:1"}, ID: "m-17", Event: "said", Data: bytes.Repeat([]byte(" "), 200),
		Client: "ann", Time: 1795341600000, Epoch: "k3x9", Offset: 1207, Prev: 1190}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], m)
	}
}
