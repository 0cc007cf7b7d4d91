package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What the library standardwebhooks 1.1.1 makes of the same (new Webhook(secret).sign(id, time, body)).
func TestSignature(t *testing.T) {
	secret, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseSecret(t *testing.T) {
	for _, s := range []string{"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS*", "whsec_" + strings.Repeat("MfKQ", 22)} {
		if _, err := ParseSecret(s); err == nil || strings.Contains(err.Error(), "MfKQ") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// The id of a request names just what it tells.
func TestRequestID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.StringMatching(`[A-Z]{1,3}`), 1, 5)
		a, b := ids.Draw(t, "a"), ids.Draw(t, "b")
		of := func(ids []string) string {
			var all []record
			for _, id := range ids {
				all = append(all, record{ID: id})
			}
			return requestID(all)
		}
		if (of(a) == of(b)) != reflect.DeepEqual(a, b) {
			t.Errorf("%v and %v", of(a), of(b))
		}
	})
}

// caught is a request as a receiver has got it.
type caught struct {
	Headers map[string]string `json:"headers"` // names in lower case, as Node has them
	Body    string            `json:"body"`
	Secrets []string          `json:"secrets,omitempty"`
	Key     string            `json:"key,omitempty"`
	Secret  string            `json:"secret,omitempty"`
}

// catch has an endpoint send records to a real receiver and returns the request.
func catch(t *testing.T, e Endpoint, records ...record) (c caught) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c = caught{Headers: map[string]string{}, Body: string(body)}
		for name := range r.Header {
			c.Headers[strings.ToLower(name)] = r.Header.Get(name)
		}
	}))
	defer server.Close()
	e.URL, e.Allow = server.URL, loopback
	s := newSender("shop", &e, nil)
	defer s.close()
	if why := s.send(context.Background(), records); why != nil {
		t.Fatal(why.text)
	}
	return c
}

// happened are records of every type.
func happened() []record {
	at := time.Date(2026, 11, 27, 16, 43, 0, 123e6, time.UTC).UnixMilli()
	all := []record{
		{ID: "1", Event: Event{Type: ChannelOccupied, Channel: "presence-é"}},
		{ID: "2", Event: Event{Type: MemberAdded, Channel: "presence-é", Member: "ann"}},
		{ID: "3", Event: Event{Type: ClientEvent, Channel: "presence-é", Name: "client-a", Data: []byte(`{"a":"<b>"}`), Session: "1.2", Member: "ann"}},
		{ID: "4", Event: Event{Type: ClientEvent, Channel: "private-x", Name: "client-a", Data: []byte(`"text"`), Session: "1.2"}},
		{ID: "5", Event: Event{Type: CacheMiss, Channel: "cache-x"}},
		{ID: "6", Event: Event{Type: SubscriptionCount, Channel: "x", Count: 0}},
		{ID: "7", Event: Event{Type: MemberRemoved, Channel: "presence-é", Member: "ann"}},
		{ID: "8", Event: Event{Type: ChannelVacated, Channel: "presence-é"}},
	}
	for i := range all {
		all[i].Time = at
	}
	return all
}

// The libraries that backends have take our requests, read what we mean, and refuse the same requests with anything changed.
func TestLibraries(t *testing.T) {
	if _, err := os.Stat("testdata/libraries/node_modules"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v, and CI is set: .ci/deps installs them", err)
		}
		t.Skipf("%v: .ci/deps installs them", err)
	}
	const first, second = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	one, err := ParseSecret(first)
	if err != nil {
		t.Fatal(err)
	}
	two, err := ParseSecret(second)
	if err != nil {
		t.Fatal(err)
	}
	rotating, batch, pusher := Endpoint{Secrets: [][]byte{two, one}}, Endpoint{Secrets: [][]byte{one}, Batch: 10}, Endpoint{Format: Pusher, Key: "k", Secrets: [][]byte{[]byte("s")}, Batch: 10}
	var requests []caught
	add := func(c caught, secrets ...string) {
		c.Secrets = secrets
		requests = append(requests, c)
	}
	add(catch(t, rotating, happened()[1]), first)  // the old secret still counts
	add(catch(t, rotating, happened()[1]), second) // and so does the new one
	add(catch(t, batch, happened()...), first)
	for _, change := range []func(*caught){
		func(c *caught) { c.Body = strings.Replace(c.Body, "ann", "bob", 1) },
		func(c *caught) { c.Headers["webhook-id"] = "2" + c.Headers["webhook-id"] },
		func(c *caught) { c.Headers["webhook-timestamp"] = "1614265330" },
	} {
		c := catch(t, batch, happened()[1])
		change(&c)
		add(c, first)
	}
	for _, change := range []func(*caught){func(*caught) {}, func(c *caught) { c.Body += " " }} {
		c := catch(t, pusher, happened()...)
		c.Key, c.Secret = "k", "s"
		change(&c)
		requests = append(requests, c)
	}
	answers := ask(t, requests)
	const added = `{"data":{"app":"shop","channel":"presence-é","id":"2","member":"ann"},"timestamp":"2026-11-27T16:43:00.123Z","type":"member_added"}`
	for i, want := range []string{added, added, "", `"No matching signature found"`, `"No matching signature found"`, `"Message timestamp too old"`, pusherWant, `"not valid"`} {
		if got := canonical(t, answers[i]); want != "" && got != canonical(t, []byte(want)) {
			t.Errorf("request %d\n got %s\nwant %s", i, got, want)
		}
	}
	var all []nativeEvent
	if err := json.Unmarshal(answers[2], &all); err != nil || len(all) != len(happened()) || *all[5].Data.Count != 0 || all[2].Data.Event != "client-a" || all[2].Data.Session != "1.2" {
		t.Errorf("%s: %v", answers[2], err)
	}
	var data struct{ A string }
	if err := json.Unmarshal(all[2].Data.Data, &data); err != nil || data.A != "<b>" {
		t.Errorf("%s: %v", all[2].Data.Data, err)
	}
}

const pusherWant = `{"time":1795797780123,"events":[
	{"name":"channel_occupied","channel":"presence-é"},
	{"name":"member_added","channel":"presence-é","user_id":"ann"},
	{"name":"client_event","channel":"presence-é","event":"client-a","data":"{\"a\":\"<b>\"}","socket_id":"1.2","user_id":"ann"},
	{"name":"client_event","channel":"private-x","event":"client-a","data":"text","socket_id":"1.2"},
	{"name":"cache_miss","channel":"cache-x"},
	{"name":"subscription_count","channel":"x","subscription_count":0},
	{"name":"member_removed","channel":"presence-é","user_id":"ann"},
	{"name":"channel_vacated","channel":"presence-é"}]}`

// ask has the libraries check requests.
func ask(t *testing.T, requests []caught) (answers [][]byte) {
	t.Helper()
	var in bytes.Buffer
	for _, r := range requests {
		if err := json.NewEncoder(&in).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "libraries", "check.js"))
	c.Stdin = &in
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers = bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(answers) != len(requests) {
		t.Fatalf("%d answers to %d requests: %s", len(answers), len(requests), out)
	}
	return answers
}

func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// FuzzRecord: what the log has is read or refused, and what is read is written back as it was.
func FuzzRecord(f *testing.F) {
	for _, r := range happened() {
		m, err := r.message("shop")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Event, m.Data)
	}
	f.Add(ChannelOccupied, []byte(`{"channel":"c","to":"one","id":"x","time":5}`))
	f.Add(ClientEvent, []byte(`{"channel":"","data":null}`))
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		m := happened()[0]
		message, err := m.message("shop")
		if err != nil {
			t.Fatal(err)
		}
		message.Event, message.Data = kind, data
		r, err := readRecord(message)
		if err != nil {
			return
		}
		again, err := r.message("shop")
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", r, err)
		}
		again.ID = r.ID
		if r.To != "" {
			again.ID = "new"
		}
		back, err := readRecord(again)
		if err != nil || back.ID != r.ID && r.ID != "" || back.Channel != r.Channel || back.Member != r.Member || back.To != r.To || back.Type != r.Type {
			t.Fatalf("%+v became %+v, %v", r, back, err)
		}
		for _, e := range []Endpoint{{Secrets: [][]byte{{1}}}, {Secrets: [][]byte{{1}}, Batch: 2}, {Format: Pusher, Secrets: [][]byte{{1}}}} {
			if body, _, err := e.request("shop", []record{r}, time.Now()); err != nil || !json.Valid(body) {
				t.Fatalf("%+v: %s, %v", r, body, err)
			}
		}
	})
}

// FuzzDeadLetter: a dead letter that can be read can be sent again.
func FuzzDeadLetter(f *testing.F) {
	f.Add(MemberAdded, []byte(`{"channel":"c","member":"m","to":"one","id":"x","time":5,"failures":3,"reason":"status 500","died":6}`))
	f.Add(CacheMiss, []byte(`{}`))
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		first := happened()[0]
		m, err := first.message("shop")
		if err != nil {
			t.Fatal(err)
		}
		m.Event, m.Data = kind, data
		_, r, err := readDeadLetter(m)
		if err != nil {
			return
		}
		if _, err := r.message("shop"); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
	})
}

// FuzzProgress: whatever is kept of an endpoint, a courier can go on from it.
func FuzzProgress(f *testing.F) {
	f.Add([]byte(`{"epoch":"e","offset":7,"failing":5,"parked":[{"channel":"c","at":3,"time":5,"failures":2}]}`))
	f.Add([]byte(`{"parked":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := readProgress(data)
		if err != nil {
			return
		}
		p.oldest()
		for {
			k, _ := p.next(time.Now())
			if k == nil {
				break
			}
			k.visiting = true
			k.At = p.taken + 1
			if k.At > p.taken && !p.unpark(k) {
				t.Fatal("a channel that has caught up stays parked")
			}
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := readProgress(text); err != nil || again.Offset != p.Offset || again.Epoch != p.Epoch {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
