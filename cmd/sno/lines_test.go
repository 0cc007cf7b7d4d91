package main

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// readAll reads every message of an input, and the numbers of the lines that are wrong.
func readAll(t *testing.T, in io.Reader, p *publisher) (messages []client.Publication, wrong []int) {
	t.Helper()
	l := newLines(in, p)
	for {
		m, err := l.next()
		line, ofLine := errors.AsType[*lineError](err)
		switch {
		case errors.Is(err, io.EOF):
			return messages, wrong
		case ofLine:
			wrong = append(wrong, line.number)
		case err != nil:
			t.Fatal(err)
		default:
			messages = append(messages, m)
		}
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", 32<<20)
	messages, wrong := readAll(t, strings.NewReader("a\n"+long+"\n"+strings.Repeat("y", maxLine+1)+"\nb"), &publisher{})
	if len(messages) != 3 || len(messages[1].Data) != len(long)+2 || string(messages[2].Data) != `"b"` {
		t.Errorf("%d messages", len(messages))
	}
	if len(wrong) != 1 || wrong[0] != 3 {
		t.Errorf("lines %v are wrong, want the one that is too long", wrong)
	}
}

func TestPositions(t *testing.T) {
	for in, want := range map[string]hub.Position{
		"k3x9:1207": {Epoch: "k3x9", Offset: 1207},
		"e:0":       {Epoch: "e"},
	} {
		if got, ok := parsePosition(in); !ok || got != want || got.String() != in {
			t.Errorf("%q is %v, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "7", ":7", "e:", "e:-1", "e:x", "10m", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00", "e:9007199254740992"} {
		if got, ok := parsePosition(in); ok {
			t.Errorf("%q is %v", in, got)
		}
	}
}

// Whatever stands on a line, it becomes one message with valid data or an error of that line.
func FuzzLines(f *testing.F) {
	f.Add([]byte("hello\n42\n{\"a\":1}\r\n\n\"x\""), false)
	f.Add([]byte(`{"data":{"text":"hi"},"id":"a","headers":{"k":"v"}}`), true)
	f.Add([]byte("{\"base64\":\"AAE=\"}\n{\"base64\":\"?\"}\n[]\n{} {}"), true)
	f.Fuzz(func(t *testing.T, in []byte, asJSON bool) {
		messages, wrong := readAll(t, strings.NewReader(string(in)), &publisher{asJSON: asJSON, id: "id"})
		if lines := strings.Count(string(in), "\n") + 1; len(messages)+len(wrong) > lines {
			t.Errorf("%d messages and %d errors from %d lines", len(messages), len(wrong), lines)
		}
		for _, m := range messages {
			// The client refuses what is no JSON value; nothing of that may come this far.
			if !m.Binary && !json.Valid(m.Data) || m.ID == "" {
				t.Errorf("got %+v", m)
			}
		}
	})
}
