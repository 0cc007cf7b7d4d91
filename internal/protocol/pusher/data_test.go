package pusher

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

func TestStore(t *testing.T) {
	for literal, want := range map[string]struct{ data, how string }{
		`"{\"a\":1}"`:        {`{"a":1}`, ""},
		`" {\"a\" : 1}\n"`:   {" {\"a\" : 1}\n", ""},
		`"\"quoted\""`:       {`"quoted"`, ""},
		`"12"`:               {`12`, ""},
		`"plain"`:            {`"plain"`, "text"},
		`""`:                 {`""`, "text"},
		`"{"`:                {`"{"`, "text"},
		`"\u20ac"`:           {`"\u20ac"`, "text"},
		`"\ud83d"`:           {`"\ud83d"`, "text"},
		`"\"\ud83d\""`:       {`"\"\ud83d\""`, "text"}, // as JSON it could not be stored without a loss
		`"\"\\ud83d\""`:      {`"\ud83d"`, ""},
		`"[\"\\u20ac\", €]"`: {`"[\"\\u20ac\", €]"`, "text"},
	} {
		data, headers, err := store(json.RawMessage(literal))
		if err != nil || string(data) != want.data || headers[dataHeader] != want.how {
			t.Errorf("%s: %s, %v, %v; want %s, %q", literal, data, headers, err, want.data, want.how)
		}
		arrives(t, literal, data, headers)
	}
}

// arrives checks that a literal that was stored is delivered as the same string.
func arrives(t interface{ Errorf(string, ...any) }, literal string, data []byte, headers map[string]string) {
	out := appendData(nil, &hub.Message{Data: data, Headers: headers})
	var got, want string
	if json.Unmarshal(out, &got) != nil || json.Unmarshal([]byte(literal), &want) != nil || got != want {
		t.Errorf("%s arrives as %s", literal, out)
	}
}

// Any string arrives byte for byte, and what is stored of it is JSON, which other protocols deliver.
func TestDataIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ \[\]{}":,0-9a-z\\]*`), rapid.Map(rapid.String(), func(s string) string {
			b, _ := json.Marshal(map[string]string{s: s})
			return string(b)
		})).Draw(t, "s")
		literal, _ := json.Marshal(s)
		data, headers, err := store(literal)
		if err != nil || !json.Valid(data) {
			t.Fatalf("%s, %v", data, err)
		}
		arrives(t, string(literal), data, headers)
	})
}

func FuzzStore(f *testing.F) {
	for _, s := range []string{`"{\"a\":1}"`, `"plain"`, `"\ud83d"`, `"\\ud83d"`, `"\u0000"`, `x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, literal []byte) {
		if !json.Valid(literal) || literal[0] != '"' || !utf8.Valid(literal) {
			return
		}
		data, headers, err := store(literal)
		if err != nil || !json.Valid(data) {
			t.Fatalf("%s: %s, %v", literal, data, err)
		}
		arrives(t, string(literal), data, headers)
	})
}

// FuzzDecodeFrame: whatever a client sends is a frame or an error, and what it is asked for is there.
func FuzzDecodeFrame(f *testing.F) {
	for _, s := range []string{
		`{"event":"pusher:subscribe","data":{"channel":"c","auth":"k:1","channel_data":"{\"user_id\":1}"}}`, `{"event":"pusher:ping","data":"{}"}`,
		`{"event":"client-x","channel":"private-c","data":[1,{"a":null}]}`, `{"event":"pusher:subscribe"}`, `[]`, `{"event":"pusher:signin","data":"{\"auth\":\"k:1\"}"}`, "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		frame, bad := decodeFrame(msg)
		if (frame == nil) == (bad == nil) {
			t.Fatalf("%q: %v, %v", msg, frame, bad)
		}
		if bad != nil {
			return
		}
		if frame.Event == "" || frame.Data != nil && !json.Valid(frame.Data) {
			t.Fatalf("%q: %+v", msg, frame)
		}
		var d subscription
		if bad := frame.into(&d); bad != nil && bad.Text == "" {
			t.Fatalf("%q: an error without a text", msg)
		}
		if d.ChannelData != nil {
			var m member
			if json.Unmarshal([]byte(*d.ChannelData), &m) == nil {
				if id, ok := m.id(); ok && id == "" {
					t.Fatalf("%q: a member without an id", msg)
				}
			}
		}
	})
}

func TestKinds(t *testing.T) {
	for name, want := range map[string]kind{
		"c": {}, "privat-c": {}, "cache-c": {cache: true}, "private-c": {signed: true}, "private-cache-c": {signed: true, cache: true},
		"private-encrypted-c": {signed: true, encrypted: true}, "private-encrypted-cache-c": {signed: true, encrypted: true, cache: true},
		"presence-c": {signed: true, presence: true}, "presence-cache-c": {signed: true, presence: true, cache: true}, "#server-to-user-1": {user: true},
	} {
		if got := kindOf(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// What pusher-js does about a connection follows from the code that it ends with.
func TestCloseCodes(t *testing.T) {
	for _, info := range hub.Codes {
		code := closeCode(&hub.Error{Code: info.Code})
		switch info.Code {
		case hub.CodeRevoked, hub.CodeUnauthorized, hub.CodeBadOrigin, hub.CodeBadHandshake, hub.CodeReplaced:
			if code < 4001 || code > 4099 {
				t.Errorf("%s: clients come back at %d", info.Name, code)
			}
		case hub.CodeGoaway, hub.CodeTokenExpired:
			if code != 4200 {
				t.Errorf("%s: %d, want 4200", info.Name, code)
			}
		default:
			if code < 4100 || code > 4299 {
				t.Errorf("%s: clients stay away at %d", info.Name, code)
			}
		}
	}
}
