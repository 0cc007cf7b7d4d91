package protocoltest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

// path is one way to a channel, and the actions that a grant must have for it. A frame is of the native protocol; a request is over HTTP.
type path struct {
	name  string
	needs []string
	frame string // CHANNEL, TOKEN, EPOCH and OFFSET are filled in
	gives string // the frame that answers, where it is allowed
}

var framePaths = []path{
	{"subscribe, live", []string{"subscribe"}, `{"type":"subscribe","ref":1,"channel":"CHANNEL"}`, "subscribed"},
	{"subscribe, history", []string{"subscribe"}, `{"type":"subscribe","ref":1,"channel":"CHANNEL","last":1}`, "subscribed"},
	{"subscribe, resume", []string{"subscribe"}, `{"type":"subscribe","ref":1,"channel":"CHANNEL","epoch":"EPOCH","offset":OFFSET}`, "subscribed"},
	{"subscribe, resume by token", []string{"subscribe"}, `{"type":"subscribe","cursor":"TOKEN"}`, "subscribed"},
	{"subscribe, with presence", []string{"subscribe", "presence"}, `{"type":"subscribe","ref":1,"channel":"CHANNEL","presence":true}`, "subscribed"},
	{"history", []string{"history"}, `{"type":"history","ref":1,"channel":"CHANNEL"}`, "history"},
	{"presence", []string{"presence"}, `{"type":"presence","ref":1,"channel":"CHANNEL"}`, "presence"},
	{"enter", []string{"presence"}, `{"type":"enter","ref":1,"channel":"CHANNEL"}`, "ok"},
	{"leave", []string{"presence"}, `{"type":"leave","ref":1,"channel":"CHANNEL"}`, "ok"},
	{"publish", []string{"publish"}, `{"type":"publish","ref":1,"channel":"CHANNEL","data":1}`, "published"},
	{"publish, ephemeral", []string{"publish"}, `{"type":"publish","ref":1,"channel":"CHANNEL","data":1,"ephemeral":true}`, "published"},
	{"publish to many", []string{"publish"}, `{"type":"publish","ref":1,"channels":["CHANNEL"],"data":1}`, "published"},
}

var requestPaths = []struct {
	method, path, body string
	needs              []string
}{
	{"GET", "/v1/stream?channel=CHANNEL", "", []string{"subscribe"}},
	{"GET", "/v1/stream?channel=CHANNEL&presence=true", "", []string{"subscribe", "presence"}},
	{"GET", "/v1/sse?channel=CHANNEL", "", []string{"subscribe"}},
	{"GET", "/v1/sse?cursor=TOKEN", "", []string{"subscribe"}},
	{"GET", "/v1/poll?channel=CHANNEL&wait=0", "", []string{"subscribe"}},
	{"GET", "/v1/poll?cursor=TOKEN&wait=0", "", []string{"subscribe"}},
	{"GET", "/v1/channels/CHANNEL/messages", "", []string{"history"}},
	{"GET", "/v1/channels/CHANNEL/messages?after=EPOCH:OFFSET", "", []string{"history"}},
	{"GET", "/v1/channels/CHANNEL/presence", "", []string{"presence"}},
	{"POST", "/v1/channels/CHANNEL/messages", `{"data":1}`, []string{"publish"}},
	{"POST", "/v1/messages", `{"channel":"CHANNEL","data":1}`, []string{"publish"}},
	{"GET", "/v1/channels/CHANNEL", "", []string{"admin"}},
}

// grants are what the tokens of the matrix allow on the channel.
var grants = [][]string{{}, {"subscribe"}, {"publish"}, {"presence"}, {"history"}, {"admin"}, {"subscribe", "presence"}, {"subscribe", "publish", "presence", "history", "admin"}}

// TestEveryPathAsksTheGrant is the matrix of actions and paths, over every transport: what a grant does not allow is refused on each way to a channel, and what it
// allows is not.
func TestEveryPathAsksTheGrant(t *testing.T) {
	p := startProcess(t)
	const channel, other = "matrix:mine", "matrix:theirs"
	at := p.publish(t, channel, "0")
	token, err := hub.EncodeCursors(hub.Cursors{{Channel: channel, Cursor: hub.Cursor{Position: at}}})
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("CHANNEL", channel, "TOKEN", token, "EPOCH", at.Epoch, "OFFSET", fmt.Sprint(at.Offset))
	for _, grant := range grants {
		all := []string{"subscribe", "publish", "presence", "history", "admin"}
		jwt, err := p.mint(Claims{Sub: "ann", Channels: map[string][]string{channel: grant, other: all}})
		if err != nil {
			t.Fatal(err)
		}
		for _, transport := range Transports {
			for _, way := range framePaths {
				allowed, got := tryFrame(t, p, transport, jwt, fill.Replace(way.frame), way.gives)
				if want := hasAll(grant, way.needs); allowed != want {
					t.Errorf("grant %v, %s over %s: allowed is %v, want %v: %s", grant, way.name, transport, allowed, want, got)
				}
			}
		}
		for _, way := range requestPaths {
			status, answer := tryRequest(t, way.method, p.URL+fill.Replace(way.path), jwt, fill.Replace(way.body))
			want := http.StatusForbidden
			if hasAll(grant, way.needs) {
				want = http.StatusOK
			}
			if status != want {
				t.Errorf("grant %v, %s %s: status %d, want %d: %s", grant, way.method, way.path, status, want, answer)
			}
		}
	}
}

func hasAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(a string) bool { return !slices.Contains(have, a) })
}

// tryFrame connects, sends one frame, and reports whether it was answered by what it gives. Anything but that and forbidden fails the test.
func tryFrame(t *testing.T, p *process, transport, jwt, frame, gives string) (allowed bool, got string) {
	t.Helper()
	c, err := connect(p.URL, transport)
	if err != nil {
		t.Fatal(err)
	}
	defer c.drop()
	for _, frame := range []string{fmt.Sprintf(`{"type":"connect","token":%q}`, jwt), frame} {
		if err := c.send([]byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		answer, err := c.next(patience)
		switch head := read(answer); {
		case err != nil:
			t.Fatalf("%s over %s: %v", frame, transport, err)
		case head.Type == gives:
			return !bytes.Contains(answer, []byte(`"code":4301`)), string(answer)
		case head.Type == "error" && head.Code == int(hub.CodeForbidden):
			return false, string(answer)
		case head.Type != "welcome":
			t.Fatalf("%s over %s was answered by %s", frame, transport, answer)
		}
	}
}

func tryRequest(t *testing.T, method, url, jwt, body string) (status int, answer []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // a stream would not end
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+jwt)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		answer, err = io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
	}
	return res.StatusCode, answer
}
