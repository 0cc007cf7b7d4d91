package native

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
)

// FuzzOpening: what a URL says becomes frames that the handler can read, or an error for the client; never more of them than the URL names.
func FuzzOpening(f *testing.F) {
	token, err := hub.EncodeCursors(hub.Cursors{{Channel: "c", Cursor: hub.Cursor{Position: hub.Position{Epoch: "e", Offset: 7}, Presence: true, Version: 3}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("channel=c&channel=d&last=3&presence=true", "")
	f.Add("channel=c&since=2026-11-24T12:00:00%2B01:00&app=a&session_key=k", token)
	f.Add("channel=c&epoch=e&offset=5", "")
	f.Add("cursor="+token, "garbage")
	f.Add("channel=%ff&last=1e9", "")
	f.Add("last=+5&channel=&wait=1;&%zz", "\xff")
	f.Fuzz(func(t *testing.T, query, lastEventID string) {
		body, bad := Opening(query, lastEventID)
		if bad != nil {
			checkShown(t, bad)
			return
		}
		frames, bad := splitBody(body)
		if bad != nil || len(frames) == 0 || len(frames) > 1+maxEventChannels {
			t.Fatalf("%q, %q: %d frames, %v: %.200s", query, lastEventID, len(frames), bad, body)
		}
		for i, b := range frames {
			got, bad := decodeFrame(b)
			if bad != nil {
				// A number that is written in a query and fits no field.
				checkShown(t, bad)
				continue
			}
			if want := "subscribe"; i > 0 && got.Type != want || i == 0 && got.Type != "connect" {
				t.Errorf("%q: frame %d is %s", query, i, b)
			}
		}
	})
}

// FuzzBody: the frames of a body are the body, in order, without the white space and the brackets around them; and carrying them out does not panic.
func FuzzBody(f *testing.F) {
	for _, body := range []string{
		`{"type":"connect"}{"type":"ping"}`, "{\"type\":\"connect\"}\n[{\"type\":\"ping\"},{}]\r\n", `[]`, ``, ` `, `[[]]`, `17 null "x"`, `{"type":"connect","session":"s","session_key":"k"}`,
		"{\"a\":\"\xff\"}", strings.Repeat("[", 20_000), `{"type":"connect"`,
	} {
		f.Add([]byte(body))
	}
	p := &Protocol{Logger: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, body []byte) {
		frames, bad := splitBody(body)
		if bad != nil {
			checkShown(t, bad)
		} else if !utf8.Valid(body) {
			t.Fatalf("%q was taken for text", body)
		}
		rest := body
		for _, b := range frames {
			i := bytes.Index(rest, b)
			if i < 0 || !json.Valid(b) || len(bytes.Trim(rest[:i], " \t\r\n[],")) > 0 {
				t.Fatalf("%q: frame %q is not next in %q", body, b, rest)
			}
			rest = rest[i+len(b):]
		}
		if err := p.Send(body); err == nil {
			t.Errorf("%q was sent to a session that is not there", body)
		} else {
			checkShown(t, err)
		}
	})
}

// checkShown sees to it that an error can be shown to a client: as text, and not of any length.
func checkShown(t *testing.T, err *hub.Error) {
	t.Helper()
	if !utf8.ValidString(err.Text) || len(err.Text) > 1000 || err.Text == "" {
		t.Errorf("an error of %d bytes: %q", len(err.Text), err.Text)
	}
}

// FuzzPlain: what is read without encoding/json is read as encoding/json reads it, and what that refuses is not read.
func FuzzPlain(f *testing.F) {
	for _, b := range []string{
		`{"type":"publish","ref":1,"channel":"c","event":"e","id":"i","data":{"a":[1,-2.5e+7,"\u00e5\n",true,false,null,{}],"b":[]}}`, `{"type":"subscribe","channel":"c","presence":true}`,
		` { "type" : "ping" , "ref" : "r" } `, `{"type":"publish","data":null,"ref":null}`, `{"Type":"x"}`, `{"type":null}`, `{"type":"a","type":"b"}`, `{"data":01}`, `{"data":"\ud800"}`, `{"data":-}`,
		`{"presence":tru}`, `{}`, `{"type":"a",}`, `[{"type":"a"},{"type":"b"}]`, `[]`, `[1`, `{"type":"a"}x`, `{"data":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`, `{"data":1.}`, `{"data":"\x"}`,
		"{\"type\":\"a\tb\"}", "{\"data\":\"a\tb\"}", `{"data":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, // encoding/json refuses these
	} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) {
			return // refused before
		}
		var got, want frame
		if read := decodePlain(b, &got); !read {
			if !reflect.DeepEqual(got, frame{}) {
				t.Fatalf("%q was not read and has left %+v", b, got)
			}
		} else if err := json.Unmarshal(b, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q was read as %+v; encoding/json reads %+v, %v", b, got, want, err)
		}
		var all []json.RawMessage
		frames, ok := splitPlain(b)
		if !ok {
			return
		}
		if err := json.Unmarshal(b, &all); err != nil || !reflect.DeepEqual(frames, all) {
			t.Fatalf("%q was split into %q; encoding/json gives %q, %v", b, frames, all, err)
		}
	})
}

// TestPlainFrames: the usual frames do not need encoding/json, nor one with what JSON allows in a value.
func TestPlainFrames(t *testing.T) {
	for _, b := range []string{
		`{"type":"publish","ref":1,"channel":"c","event":"e","id":"i","data":{"a":[1,-2.5e+7,"\u00e5\n",true,false,null,{}],"b":[]},"ephemeral":false,"ordered":true}`,
		`{"type":"subscribe","ref":"x","channel":"c","presence":true}`, " {\t\"type\" :\n\"ping\" } ",
	} {
		if !decodePlain([]byte(b), new(frame)) {
			t.Errorf("%s is read by encoding/json", b)
		}
	}
	if frames, ok := splitPlain([]byte(`[{"type":"ping"} , {"type":"cursor"}]`)); !ok || len(frames) != 2 {
		t.Errorf("an array was split into %q, %v", frames, ok)
	}
}

func BenchmarkDecodeFrame(b *testing.B) {
	msg := []byte(`{"type":"publish","ref":17,"channel":"chat:1","event":"said","data":{"text":"` + strings.Repeat("x", 200) + `"}}`)
	for name, decode := range map[string]func() error{
		"frame": func() error {
			if _, err := decodeFrame(msg); err != nil {
				return err
			}
			return nil
		},
		"encoding/json": func() error { return json.Unmarshal(msg, new(frame)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
