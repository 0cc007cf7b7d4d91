package native

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
)

// FuzzOpening: what a URL says becomes frames that the handler can read, or an error for the client; never more of them than the URL names.
func FuzzOpening(f *testing.F) {
	token, err := hub.EncodeCursors(map[string]hub.Cursor{"c": {Position: hub.Position{Epoch: "e", Offset: 7}, Presence: true, Version: 3}})
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
