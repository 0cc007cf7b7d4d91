package pusher

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

// keeper knows one secret.
type keeper string

func (k keeper) Signed(_ string, text []byte, mac string) bool {
	h := hmac.New(sha256.New, []byte(k))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)) == mac
}

// idle is a connection that nobody drives.
type idle struct{}

func (idle) Wake()             {}
func (idle) Close(int, string) {}

// nobody has no backends to be told.
type nobody struct{}

func (nobody) ClientEvent(hub.Channel, string, []byte, string, string) {}
func (nobody) CacheMiss(hub.Channel)                                   {}
func (nobody) SubscriptionCount(hub.Channel, int)                      {}

// protocol has one app, with everything on.
func protocol(t testing.TB) *Protocol {
	t.Helper()
	h, err := hub.New(hub.Options{Logger: slog.New(slog.DiscardHandler), Open: func(sink hub.Sink) (hub.Log, error) {
		return local.Open(local.Options{Dir: t.TempDir(), Sink: sink, Sync: local.SyncNever})
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	h.SetApps([]hub.App{{ID: "1"}})
	p := &Protocol{Hub: h, Signatures: keeper(vectorSecret), Backends: nobody{}, Logger: slog.New(slog.DiscardHandler)}
	p.SetApps([]App{{ID: "1", Keys: []string{vectorKey}, ClientEvents: true, ClientEventRate: 1 << 30, SubscriptionCount: true}})
	return p
}

// frames are those of a message of the transport's, each JSON.
func frames(t testing.TB, h *Handler) (all []map[string]any) {
	t.Helper()
	for {
		out, next := h.Pull(nil, true)
		ends := []int{len(out)}
		if next.Shared != nil {
			out, ends = next.Shared.Bytes, next.Shared.Ends
		}
		start := 0
		for _, end := range ends {
			if end == start {
				continue
			}
			var f map[string]any
			if err := json.Unmarshal(out[start:end], &f); err != nil {
				t.Fatalf("%s: %v", out[start:end], err)
			}
			all = append(all, f)
			start = end
		}
		if next.End != 0 {
			t.Fatalf("the connection ends: %d %s", next.End, next.Reason)
		}
		if !next.More {
			return all
		}
	}
}

// FuzzReceive: whatever a client sends, right signatures included, the connection goes on, what it is sent is JSON, and the next ping is answered last.
func FuzzReceive(f *testing.F) {
	for _, s := range []string{
		`{"event":"pusher:subscribe"}`, `{"event":"pusher:subscribe","data":{}}`, `{"event":"pusher:subscribe","data":{"channel":"c"}}`,
		`{"event":"pusher:subscribe","data":{"channel":"presence-c","auth":"KEY","channel_data":"{\"user_id\":\"a\"}"}}`,
		`{"event":"pusher:subscribe","data":{"channel":"private-cache-c","auth":"KEY"}}`, `{"event":"pusher:unsubscribe","data":{"channel":"c"}}`,
		`{"event":"pusher:signin","data":{"auth":"KEY","user_data":"{\"id\":\"u\",\"watchlist\":[\"a\",\"\",\"b\"]}"}}`, `{"event":"client-x","channel":"private-c","data":{}}`,
		`{"event":"sno:resume","data":{"c":"e:1","d":"x:9007199254740991"}}`, `{"event":"pusher:pong","data":null}`, "\x00", `{"event":"pusher:subscribe","data":"{\"channel\":7}"}`,
	} {
		f.Add(s, s)
	}
	p := protocol(f)
	f.Fuzz(func(t *testing.T, one, two string) {
		h := p.Handler(idle{}, Opening{Key: vectorKey, Version: "7", Transport: "websocket"})
		defer h.Closed(time.Time{})
		frames(t, h)
		for _, text := range []string{one, two, one} {
			h.Receive([]byte(h.withSignature(text)), false)
		}
		h.Receive([]byte(`{"event":"pusher:ping","data":{}}`), false)
		got := frames(t, h)
		for _, f := range got {
			if _, ok := f["event"].(string); !ok {
				t.Fatalf("%q, %q: a frame without an event: %v", one, two, f)
			}
		}
		pongs := 0
		for _, f := range got {
			if f["event"] == "pusher:pong" {
				pongs++
			}
		}
		if want := 1 + strings.Count(one+one+two, "pusher:ping"); pongs == 0 || pongs > want {
			t.Fatalf("%q, %q: %d pongs in %v", one, two, pongs, got)
		}
	})
}

// withSignature puts right signatures where a frame has KEY for one.
func (h *Handler) withSignature(text string) string {
	var f struct {
		Data struct {
			Channel     string  `json:"channel"`
			ChannelData *string `json:"channel_data"`
			UserData    *string `json:"user_data"`
		} `json:"data"`
	}
	if json.Unmarshal([]byte(text), &f) != nil {
		return text
	}
	signed := h.socketID + ":" + f.Data.Channel
	switch {
	case f.Data.UserData != nil:
		signed = h.socketID + "::user::" + *f.Data.UserData
	case f.Data.ChannelData != nil:
		signed += ":" + *f.Data.ChannelData
	}
	return strings.ReplaceAll(text, "KEY", vectorKey+":"+mac(signed))
}

// FuzzPublish: whatever the body of a publish is, signed as it should be, it is published or refused with an error for its sender.
func FuzzPublish(f *testing.F) {
	for _, s := range []string{
		`{"name":"e","channel":"c","data":"{}"}`, `{"name":"e","channels":["a","b"],"data":"x","socket_id":"1.2","info":"subscription_count"}`, `{"name":"e","channel":"c","data":{"a":1}}`,
		`{"name":"e","channels":[],"data":""}`, `{"batch":[{"name":"e","channel":"c","data":"1","info":"user_count"}]}`, `{"batch":[]}`, `[]`, ` `, `{"name":"e","channel":"#server-to-user-1","data":"\ud83d"}`,
	} {
		f.Add([]byte(s))
	}
	p := protocol(f)
	a := p.apps.Load().byID["1"]
	f.Fuzz(func(t *testing.T, body []byte) {
		for i, do := range []func(*call) (any, error){(*call).events, (*call).batchEvents, (*call).oldEvents} {
			sign := &signature{mac: fmt.Sprintf("%064x", i), time: time.Now().Unix(), params: []parameter{{"name", "e"}}}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			r.SetPathValue("channel", "c")
			answer, err := do(&call{Request: r, p: p, app: a, body: body, sign: sign})
			if err != nil {
				if _, ok := hub.Show(err); !ok {
					t.Fatalf("%q: %v", body, err)
				}
				continue
			}
			if _, err := json.Marshal(answer); err != nil {
				t.Fatalf("%q is answered by %v: %v", body, answer, err)
			}
		}
	})
}
