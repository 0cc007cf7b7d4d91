package protocoltest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	vectorsDir   = "../../../spec/vectors"
	protocolPage = "../../../spec/PROTOCOL.md"
	section      = "## Whole conversations\n"
	introduction = `
Played against the server by the tests, as they stand: these are vectors of [` + "`vectors/`" + `](vectors), and this section is written from them (` + "`go test ./internal/protocol/protocoltest -update`" + `).
` + "`→`" + ` is what a client sends, ` + "`←`" + ` what it is sent; ` + "`…`" + ` stands for what is of no account here. Answers to different requests may come in another order than shown.

`
)

var update = flag.Bool("update", false, `write "Whole conversations" of PROTOCOL.md from the vectors`)

func loaded(t *testing.T) []Vector {
	t.Helper()
	vectors, err := Load(vectorsDir)
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheDocumentHasTheConversationsOfTheVectors(t *testing.T) {
	conversations, err := Document(loaded(t))
	if err != nil {
		t.Fatal(err)
	}
	want := section + introduction + strings.TrimRight(conversations, "\n") + "\n"
	text := page(t)
	before, _, found := strings.Cut(text, section)
	if *update {
		if !found {
			before += "\n"
		}
		if err := os.WriteFile(protocolPage, []byte(before+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := text[len(before):]; got != want {
		t.Errorf(`"Whole conversations" of PROTOCOL.md is not what the vectors say: run go test with -update, and look at what changes`)
	}
}

// Types that only a heartbeat, a drain or a slow client shows: the suite Run and the server's own tests have them.
var notInVectors = map[string]string{
	"ping":   "left out by the runner, as heartbeats come at any time; tested with a client's ping and in the transport",
	"goaway": "needs a draining server: protocoltest.Run, drain",
}

// Codes that a client alone cannot bring about.
var codesNotInVectors = map[string]string{
	"4002": "needs a server with allowed origins",
	"4003": "needs an administrator",
	"4005": "takes a hundred bad frames: the native protocol's own test",
	"4100": "needs an overloaded server",
	"4006": "needs two connections of one session: the tests of the transports",
	"4312": "needs many requests in a short time",
	"4102": "needs a broken server",
	"4200": "needs a draining server: protocoltest.Run, drain",
	"4304": "needs a slow store",
	"4305": "needs a failing store",
	"4306": "needs a full disk",
	"4307": "needs a damaged store",
	"4311": "needs a store that fails for a while",
	"4309": "no request of this protocol asks for a thing by its id",
}

func TestEveryFrameOfTheDocumentIsInAVector(t *testing.T) {
	sent, received := framesIn(t)
	text := page(t)
	client := section3(text, "## Frames from the client", "## Frames from the server")
	for _, heading := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(client, -1) {
		for name := range strings.SplitSeq(heading[1], ", ") {
			if !sent[name] {
				t.Errorf("no vector sends %q", name)
			}
		}
	}
	server := section3(text, "## Frames from the server", "## Following the order")
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(server, -1)
	if len(rows) < 10 {
		t.Fatalf("only %d types of frames found in the document", len(rows))
	}
	for _, row := range rows {
		if received[row[1]] == (notInVectors[row[1]] != "") {
			t.Errorf("%q: in a vector: %v, excused: %q", row[1], received[row[1]], notInVectors[row[1]])
		}
	}
}

func TestEveryCodeOfTheDocumentIsInAVector(t *testing.T) {
	var all strings.Builder
	for _, v := range loaded(t) {
		for _, s := range v.Steps {
			all.Write(s.Server)
			fmt.Fprintf(&all, "close %d;", s.Close)
			for _, raw := range s.Servers {
				all.Write(raw)
			}
		}
	}
	rows := regexp.MustCompile("(?m)^\\| (4[0-9]{3}) \\| `([a-z_]+)` \\|").FindAllStringSubmatch(page(t), -1)
	if len(rows) < 20 {
		t.Fatalf("only %d codes found in the document", len(rows))
	}
	for _, row := range rows {
		shown := strings.Contains(all.String(), `"code":`+row[1]+`,"name":"`+row[2]+`"`) || strings.Contains(all.String(), "close "+row[1]+";")
		if shown == (codesNotInVectors[row[1]] != "") {
			t.Errorf("%s %s: in a vector: %v, excused: %q", row[1], row[2], shown, codesNotInVectors[row[1]])
		}
	}
}

func section3(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

// framesIn are the types of frames that vectors send and expect.
func framesIn(t *testing.T) (sent, received map[string]bool) {
	t.Helper()
	sent, received = map[string]bool{}, map[string]bool{}
	for _, v := range loaded(t) {
		for _, s := range v.Steps {
			sequences, err := s.sequences()
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			for _, frame := range slices.Concat(append(sequences, []json.RawMessage{s.Server})...) {
				received[typeOf(frame)] = true
			}
			sent[typeOf(s.Client)] = true
		}
	}
	return sent, received
}

func TestChannelsOfAVectorAreItsOwn(t *testing.T) {
	channel := regexp.MustCompile(`"channel\??":"((?:[^"$\\]|\\.)+)"`)
	for _, v := range loaded(t) {
		for i, s := range v.Steps {
			for _, m := range channel.FindAllStringSubmatch(string(s.Client)+string(s.Server), -1) {
				if !strings.HasPrefix(m[1], v.Name+":") {
					t.Errorf("%s, step %d: channel %q; all vectors run on one server, so its channels begin with %q", v.Name, i+1, m[1], v.Name+":")
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"hello", "bad-frames", "publish-channels"} {
		b, err := os.ReadFile(vectorsDir + "/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err == nil && len(v.Steps) == 0 {
			t.Error("a vector without steps")
		}
	})
}
