package native

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

var now = time.UnixMilli(1_795_341_600_000)

func TestFramesOfAMessage(t *testing.T) {
	for _, test := range []struct {
		msg    string
		frames []string
	}{
		{`{"type":"ping"}`, []string{`{"type":"ping"}`}},
		{" \r\n\t{\"type\":\"ping\"}", []string{`{"type":"ping"}`}},
		{`[{"type":"ping"}, {"type":"cursor"}]`, []string{`{"type":"ping"}`, `{"type":"cursor"}`}},
		{`[]`, nil},
		{``, []string{``}},
	} {
		frames, err := splitFrames([]byte(test.msg))
		if err != nil || len(frames) != len(test.frames) {
			t.Errorf("%q: %d frames, %v", test.msg, len(frames), err)
			continue
		}
		for i, f := range frames {
			if string(f) != test.frames[i] {
				t.Errorf("%q: frame %d is %s", test.msg, i, f)
			}
		}
	}
}

func TestBadFrames(t *testing.T) {
	for name, test := range map[string]struct{ frame, text, ref string }{
		"not JSON":        {`{`, "not a JSON frame", ""},
		"not an object":   {`17`, "not a JSON frame", ""},
		"no type":         {`{"ref":1}`, "type is missing", "1"},
		"type of a field": {`{"type":"subscribe","ref":7,"channel":[]}`, "channel: a array does not fit", "7"},
		"long ref":        {`{"type":"ping","ref":"` + strings.Repeat("x", 65) + `"}`, "ref", ""},
		"object as ref":   {`{"type":"ping","ref":{}}`, "ref", ""},
		"fraction as ref": {`{"type":"ping","ref":1.5}`, "ref", ""},
		"null as ref":     {`{"type":"ping","ref":null}`, "ref", ""},
	} {
		f, err := decodeFrame([]byte(test.frame))
		if err == nil || err.Code != hub.CodeBadRequest || !strings.Contains(err.Text, test.text) {
			t.Errorf("%s: %v", name, err)
		}
		if string(f.Ref) != test.ref {
			t.Errorf("%s: the answer would have ref %q, want %q", name, f.Ref, test.ref)
		}
	}
}

func TestFrom(t *testing.T) {
	for _, test := range []struct {
		frame string
		want  hub.From
		bad   string
	}{
		{`{}`, hub.From{}, ""},
		{`{"epoch":"e","offset":5}`, hub.From{After: &hub.Position{Epoch: "e", Offset: 5}}, ""},
		{`{"offset":5}`, hub.From{}, "give both"},
		{`{"epoch":"e"}`, hub.From{}, "give both"},
		{`{"epoch":"e","offset":9007199254740992}`, hub.From{}, "at most 9007199254740991"},
		{`{"last":3}`, hub.From{Last: 3}, ""},
		{`{"last":-3}`, hub.From{}, "-3 is not a number of messages"},
		{`{"since":"1m"}`, hub.From{Since: now.Add(-time.Minute)}, ""},
		{`{"since":1795341599000}`, hub.From{Since: now.Add(-time.Second)}, ""},
		{`{"since":"yesterday"}`, hub.From{}, "yesterday"},
		{`{"since":{}}`, hub.From{}, "since"},
		{`{"last":3,"since":"1m"}`, hub.From{}, "exclude each other"},
		{`{"last":3,"epoch":"e","offset":5}`, hub.From{}, "exclude each other"},
	} {
		f := new(frame)
		if err := json.Unmarshal([]byte(test.frame), f); err != nil {
			t.Fatal(err)
		}
		got, err := f.from(now)
		if test.bad != "" {
			if err == nil || !strings.Contains(err.Text, test.bad) {
				t.Errorf("%s: %v, want an error with %q", test.frame, err, test.bad)
			}
			continue
		}
		same := err == nil && got.Last == test.want.Last && got.Since.Equal(test.want.Since) && (got.After == nil) == (test.want.After == nil)
		if !same || got.After != nil && *got.After != *test.want.After {
			t.Errorf("%s: %+v, %v", test.frame, got, err)
		}
	}
}

// FuzzFrame decodes what a client may send in every way in which a request does: nothing panics, every error may be shown, and a ref that would be sent
// back is one that a client may use.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		`{"type":"connect","token":"x"}`, `[{"type":"ping","ref":1},{"type":"ping","ref":"a"}]`, `{"type":"subscribe","ref":1,"channel":"c","epoch":"e","offset":1}`,
		`{"type":"publish","channels":["a","b"],"data":{"a": 1.0e2},"headers":{"h":"v"},"echo":false,"expect":{"epoch":"e","offset":1}}`,
		`{"type":"publish","base64":"AAE="}`, `{"type":"history","since":"10m","limit":5}`, `{"type":"history","before":0}`, `[[]]`, `{"type":"x","ref":null}`, "\x00", `[1,`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		frames, err := splitFrames(msg)
		if err != nil {
			return
		}
		for _, b := range frames {
			fr, err := decodeFrame(b)
			if checkRef(fr.Ref) != nil {
				t.Errorf("%q: the ref %q would be sent back", b, fr.Ref)
			}
			if out := newFrame("error", fr.Ref).error(hub.Errorf(hub.CodeBadRequest, "%s", b)).end(); !json.Valid(out) {
				t.Errorf("%q: the answer is not JSON: %s", b, out)
			}
			if err != nil {
				continue
			}
			_, _ = fr.from(now)
			if data, binary, err := fr.data(); err == nil && !binary && !json.Valid(data) {
				t.Errorf("%q: the data %q is not JSON", b, data)
			}
			_, _ = (&request{frame: fr}).query()
		}
	})
}

// TestEncodedFramesAreJSON encodes one of each event with what could break a frame.
func TestEncodedFramesAreJSON(t *testing.T) {
	nasty := "a\"b\\c\n\u2028<é\x7f"
	at := hub.Position{Epoch: nasty, Offset: hub.MaxOffset}
	m := &hub.Message{Channel: hub.Channel{Name: nasty}, ID: nasty, Event: nasty, Data: []byte(`{"a": [1.0e2]}`), Headers: map[string]string{nasty: nasty}, Epoch: nasty, Offset: 7, Prev: 5}
	bad := hub.Errorf(hub.CodeForbidden, "%s", nasty)
	member := hub.Member{ID: nasty, Data: []byte(`{"n": 1}`), Sessions: 2}
	for i, e := range []hub.Event{
		{Kind: hub.EventMessage, Message: m},
		{Kind: hub.EventSkip, Channel: nasty, Message: m},
		{Kind: hub.EventReset, Channel: nasty, Detail: &hub.Detail{Reset: hub.ResetAhead, Position: at}},
		{Kind: hub.EventAnswer, Detail: &hub.Detail{Answer: answer{frame: encodeOK(json.RawMessage(`"r"`))}}},
		{Kind: hub.EventUnsubscribed, Channel: nasty, Detail: &hub.Detail{Err: bad}},
		{Kind: hub.EventMembers, Channel: nasty, Detail: &hub.Detail{Members: []hub.Member{member, {ID: "b"}}}},
		{Kind: hub.EventMembers, Channel: nasty, Detail: &hub.Detail{}},
		{Kind: hub.EventChange, Channel: nasty, Detail: &hub.Detail{Change: hub.Change{Event: hub.MemberLeft, Member: member}}},
		{Kind: hub.EventGoaway, Detail: &hub.Detail{Err: bad, Delay: time.Second}},
		{Kind: hub.EventEnd, Detail: &hub.Detail{Err: bad}},
		{Kind: hub.EventAnswer, Detail: &hub.Detail{Answer: answer{frame: encodeHistory(nil, nasty, hub.Page{Messages: []*hub.Message{m, m}, Reset: hub.ResetExpired, Head: at})}}},
		{Kind: hub.EventAnswer, Detail: &hub.Detail{Answer: answer{frame: encodeResults(nil, []string{nasty, nasty, nasty}, []hub.Result{{ID: nasty, Position: at, Duplicate: true}, {Err: bad}, {ID: nasty}})}}},
		{Kind: hub.EventAnswer, Detail: &hub.Detail{Answer: answer{frame: encodePublished(json.RawMessage(`1`), nasty, hub.Result{ID: nasty})}}},
	} {
		if b := appendEvent(nil, &e); !json.Valid(b) {
			t.Errorf("event %d is not JSON: %s", i, b)
		}
	}
}
