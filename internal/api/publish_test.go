package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snoserver/sno/internal/body"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

const chat = "/v1/channels/chat/messages"

func TestPublishOne(t *testing.T) {
	s := open(t)
	first := into[result](t, s.do("POST", chat, `{"id":"m-1","event":"said","data":{"text":"hi"}}`))
	if first.Channel != "chat" || first.ID != "m-1" || first.Epoch == "" || first.Offset == 0 || first.Prev == nil || first.Duplicate || first.Ephemeral {
		t.Errorf("got %+v", first)
	}
	second := into[result](t, s.do("POST", chat, `{}`))
	if second.ID == "" || second.Offset <= first.Offset || *second.Prev != first.Offset {
		t.Errorf("got %+v after %+v", second, first)
	}
	again := into[result](t, s.do("POST", chat, `{"id":"m-1","data":"other"}`))
	if !again.Duplicate || again.Offset != first.Offset || again.Epoch != first.Epoch || *again.Prev != *first.Prev {
		t.Errorf("repeated: got %+v, first %+v", again, first)
	}
	typing := into[result](t, s.do("POST", chat, `{"event":"typing","ephemeral":true}`))
	if !typing.Ephemeral || typing.ID == "" || typing.Epoch != "" || typing.Prev != nil {
		t.Errorf("ephemeral: got %+v", typing)
	}
	if p := into[page](t, s.do("GET", chat, "")); len(p.Messages) != 2 || p.Head.Offset != second.Offset {
		t.Errorf("history has %+v", p)
	}
}

func TestPublishKeepsEverything(t *testing.T) {
	s := open(t)
	data := `{ "a" : [1.50, 1e400, -0,"\u00e4\/ä"],` + "\n" + `"a":2}`
	into[result](t, s.do("POST", chat, `{"data": `+data+` ,"headers":{"trace":"ü","empty":""}}`,
		"Authorization: Bearer "+token(t, "ann", "chat", hub.ActionPublish, time.Now().Add(time.Hour))))
	into[result](t, s.do("POST", chat, `{"base64":"AP/+"}`))
	into[result](t, s.do("POST", chat, `{"base64":""}`))
	m := into[page](t, s.do("GET", chat, "")).Messages
	if len(m) != 3 {
		t.Fatalf("got %+v", m)
	}
	if string(m[0].Data) != data || m[0].Client != "ann" || m[0].Headers["trace"] != "ü" || len(m[0].Headers) != 2 || m[0].Channel != "chat" {
		t.Errorf("got %+v with data %s", m[0], m[0].Data)
	}
	if m[1].Base64 == nil || *m[1].Base64 != "AP/+" || m[1].Data != nil || m[1].Client != "" {
		t.Errorf("got %+v", m[1])
	}
	if m[2].Base64 == nil || *m[2].Base64 != "" {
		t.Errorf("got %+v", m[2])
	}
}

func TestPublishMany(t *testing.T) {
	s := open(t)
	got := into[[]result](t, s.do("POST", chat, `[{"id":"a"},{"ephemeral":true,"id":"b"},{"id":"a"},{"id":"c"}]`))
	if len(got) != 4 || got[0].ID != "a" || !got[1].Ephemeral || got[1].ID != "b" || !got[2].Duplicate || got[2].Offset != got[0].Offset || *got[3].Prev != got[0].Offset {
		t.Errorf("got %+v", got)
	}
	if one := into[[]result](t, s.do("POST", chat, `[{"id":"c"}]`)); len(one) != 1 || !one[0].Duplicate {
		t.Errorf("one in an array: %+v", one)
	}
	if none := s.do("POST", chat, ` [ ] `); none.StatusCode != http.StatusOK || none.body != "[]\n" {
		t.Errorf("none: %d %s", none.StatusCode, none.body)
	}
	batch := "[" + strings.Repeat(`{},`, maxBatch-1) + "{}]"
	if all := into[[]result](t, s.do("POST", chat, batch)); len(all) != maxBatch {
		t.Errorf("got %d results", len(all))
	}
}

func TestPublishExpect(t *testing.T) {
	s := open(t)
	head := into[page](t, s.do("GET", chat, "")).Head
	expect := func(epoch string, offset uint64) string {
		return fmt.Sprintf(`"expect":{"epoch":%q,"offset":%d}`, epoch, offset)
	}
	first := into[result](t, s.do("POST", chat, `{"id":"a",`+expect(head.Epoch, head.Offset)+`}`))
	wantProblem(t, s.do("POST", chat, `{"id":"b",`+expect(head.Epoch, head.Offset)+`}`), 409, hub.CodeConflict)
	if again := into[result](t, s.do("POST", chat, `{"id":"a",`+expect(head.Epoch, head.Offset)+`}`)); !again.Duplicate {
		t.Errorf("a retry gets %+v", again)
	}
	into[result](t, s.do("POST", chat, `{"id":"c",`+expect(first.Epoch, first.Offset)+`}`))
}

// TestPublishManySaysWhichWereStored has one of three fail.
func TestPublishManySaysWhichWereStored(t *testing.T) {
	s := open(t)
	a := s.do("POST", chat, `[{"id":"a"},{"id":"b","expect":{"epoch":"none","offset":1}},{"id":"c"}]`)
	p := wantProblem(t, a, 409, hub.CodeConflict, "1 of 3 messages were not stored")
	got := strict[[]result](t, string(p.Results))
	if len(got) != 3 || got[0].ID != "a" || got[0].Offset == 0 || got[2].ID != "c" || *got[2].Prev != got[0].Offset {
		t.Errorf("got %s", p.Results)
	}
	if b := got[1]; b.Code != hub.CodeConflict || b.Name != "conflict" || b.Text == "" || b.Channel != "chat" || b.ID != "" || b.Offset != 0 {
		t.Errorf("got %s", p.Results)
	}
	if m := into[page](t, s.do("GET", chat, "")).Messages; len(m) != 2 || m[0].ID != "a" || m[1].ID != "c" {
		t.Errorf("stored: %+v", m)
	}
}

// TestPublishRefusesAllOrNothing: what is wrong with one message is found before the others are stored.
func TestPublishRefusesAllOrNothing(t *testing.T) {
	s := open(t)
	for body, want := range map[string]string{
		`[{"id":"a"},{"idd":"b"}]`:                               `[1].idd: there is no such field; did you mean "id"?`,
		`[{"id":"a"},{"id":"` + strings.Repeat("x", 257) + `"}]`: "id has 257 bytes",
		`[{"id":"a"}`: "ends in the middle",
	} {
		if p := wantProblem(t, s.do("POST", chat, body), 400, hub.CodeBadRequest, want); p.Results != nil {
			t.Errorf("results: %s", p.Results)
		}
	}
	if m := into[page](t, s.do("GET", chat, "")).Messages; len(m) != 0 {
		t.Errorf("stored: %+v", m)
	}
}

func TestPublishRefusesBadBodies(t *testing.T) {
	s := open(t)
	for body, want := range map[string]string{
		``:                                      "ends in the middle",
		`null`:                                  "must be a message",
		`"hello"`:                               "must be a message",
		`17`:                                    "must be a message",
		`hello`:                                 "is not JSON, after byte 0: invalid character 'h'",
		`{"data":1`:                             "ends in the middle",
		`{"data":1}}`:                           "goes on after its end",
		`{"data":1}{"data":2}`:                  "send several messages as an array",
		`{"data":1,}`:                           "is not JSON",
		`{"data" 1}`:                            "is not JSON",
		`{"data":01}`:                           "is not JSON",
		`{data:1}`:                              "is not JSON",
		`[{},]`:                                 "is not JSON",
		`[{} {}]`:                               "is not JSON",
		`[1]`:                                   "[0] is not a message",
		`[{},null]`:                             "[1] is not a message",
		`[[{}]]`:                                "[0] is not a message",
		"{\"data\":\"\xff\"}":                   "not UTF-8",
		`{"Data":1}`:                            `Data: there is no such field; did you mean "data"?`,
		`{"dta":1}`:                             `did you mean "data"?`,
		`{"epheremal":true}`:                    `did you mean "ephemeral"?`,
		`{"channel":"a"}`:                       `channel: there is no such field; there are base64, data,`,
		`{"":1}`:                                `there is no such field`,
		`{"data":1,"data":2}`:                   "data stands there twice",
		`{"id":17}`:                             "id is or has a number; it must be a string",
		`{"event":{}}`:                          "event is or has a object; it must be a string",
		`{"ephemeral":"yes"}`:                   "ephemeral is or has a string; it must be true or false",
		`{"headers":["a"]}`:                     "headers is or has a array; it must be an object of strings",
		`{"headers":{"a":1}}`:                   "it must be an object of strings",
		`{"headers":{"a":null}}`:                "headers.a is null",
		`{"headers":{"":"a"}}`:                  "names must not be empty",
		`{"data":1,"base64":"AA=="}`:            "data and base64 are both there",
		`{"base64":"AA"}`:                       "base64 is none",
		`{"base64":"_-8="}`:                     "'+', '/' and padding",
		`{"expect":1}`:                          "expect must be a position",
		`{"expect":{}}`:                         "expect must have an epoch and an offset",
		`{"expect":{"offset":1}}`:               "expect must have an epoch and an offset",
		`{"expect":{"epoch":"a","offset":-1}}`:  "expect.offset is or has a number -1; it must be an integer below 2^53",
		`{"expect":{"epoch":"a","offset":1.5}}`: "expect.offset",
		`{"expect":{"epoch":"a","offset":9007199254740992}}`:   "at most 9007199254740991",
		`{"expect":{"epoch":"a","ofset":1}}`:                   `expect.ofset: there is no such field; did you mean "offset"?`,
		`{"ephemeral":true,"expect":{"epoch":"a","offset":1}}`: "expect goes with one channel and a stored message only",
	} {
		t.Run(body, func(t *testing.T) {
			wantProblem(t, s.do("POST", chat, body), 400, hub.CodeBadRequest, want)
		})
	}
	wantProblem(t, s.do("POST", chat, "["+strings.Repeat(`{},`, maxBatch)+"{}]"), 400, hub.CodeLimit, "at most 1000 messages")
	wantProblem(t, s.do("POST", chat, `{"headers":{"a":"`+strings.Repeat("x", 8<<10)+`"}}`), 400, hub.CodeLimit, "the limit is 8192")
	wantProblem(t, s.do("POST", chat+"?ephemeral=true", `{}`), 400, hub.CodeBadRequest, "ephemeral: there is no such parameter")
	if m := into[page](t, s.do("GET", chat, "")).Messages; len(m) != 0 {
		t.Errorf("stored: %+v", m)
	}
	if s.log.Len() > 0 {
		t.Errorf("what clients do wrong is logged: %s", s.log)
	}
}

func TestPublishSizes(t *testing.T) {
	s := open(t)
	largest := hub.DefaultLimits.MessageBytes
	into[result](t, s.do("POST", chat, `{"data":"`+strings.Repeat("x", largest-2)+`"}`))
	wantProblem(t, s.do("POST", chat, `{"data":"`+strings.Repeat("x", largest-1)+`"}`), 413, hub.CodeMessageTooLarge, "limits.message_bytes is 1048576")
	limit := bodyLimit(hub.DefaultLimits)
	for name, chunked := range map[string]bool{"with its length": false, "in chunks": true} {
		t.Run(name, func(t *testing.T) {
			// All of it is a message as far as it goes: an array in blanks.
			body := io.MultiReader(strings.NewReader(`[{"id":"a"}`), io.LimitReader(blanks{}, limit), strings.NewReader("]"))
			r, err := http.NewRequest(http.MethodPost, s.url+chat, body)
			if err != nil {
				t.Fatal(err)
			}
			if r.ContentLength = limit + 12; chunked {
				r.ContentLength = -1
			}
			r.SetBasicAuth("shop-1", secret)
			p := wantProblem(t, s.send(r), 413, hub.CodeMessageTooLarge, "send fewer messages at once", fmt.Sprint(limit))
			if p.Results != nil {
				t.Errorf("results: %s", p.Results)
			}
		})
	}
	if m := into[page](t, s.do("GET", chat, "")).Messages; len(m) != 1 {
		t.Errorf("stored: %d messages", len(m))
	}
}

type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestPublishContentTypes(t *testing.T) {
	s := open(t)
	for _, test := range []struct {
		headers []string
		good    bool
	}{
		{nil, true},
		{[]string{"Content-Type: application/json"}, true},
		{[]string{"Content-Type: Application/JSON; charset=UTF-8"}, true},
		{[]string{"Content-Type: application/json", "Origin: https://evil.example"}, true}, // only after the browser has asked
		{[]string{"Origin: https://evil.example"}, false},
		{[]string{"Content-Type: text/plain", "Origin: https://evil.example"}, false},
		{[]string{"Content-Type: application/x-www-form-urlencoded"}, false},
		{[]string{"Content-Type: application/json; charset=latin1"}, false},
		{[]string{"Content-Type: application/"}, false},
		{[]string{"Content-Type: application/problem+json"}, false},
		{[]string{"Content-Type: application/json", "Content-Encoding: gzip"}, false},
	} {
		a := s.do("POST", chat, `{}`, test.headers...)
		if test.good {
			into[result](t, a)
		} else {
			wantProblem(t, a, 415, hub.CodeBadRequest)
		}
	}
}

func TestChannelNames(t *testing.T) {
	s := open(t)
	for path, name := range map[string]string{
		"chat:1": "chat:1", "a%2Fb": "a/b", "a%2F..%2Fb": "a/../b", "%2E%2E": "..", "%2e": ".", "a%20b+c": "a b+c", "%C3%A4": "ä", "ö": "ö", "%2Fa%2F": "/a/", "%25": "%",
		"%3Fx%23y": "?x#y", "messages": "messages",
	} {
		got := into[result](t, s.do("POST", "/v1/channels/"+path+"/messages", `{}`))
		if got.Channel != name {
			t.Errorf("%s is channel %q, want %q", path, got.Channel, name)
		}
		if m := into[page](t, s.do("GET", "/v1/channels/"+path+"/messages", "")).Messages; len(m) != 1 || m[0].Channel != name {
			t.Errorf("%s has %+v", path, m)
		}
	}
	for path, want := range map[string]string{"%FF": "UTF-8", "a%00": "control", "%0A": "control", strings.Repeat("x", 1025): "1 to 1024 bytes"} {
		wantProblem(t, s.do("POST", "/v1/channels/"+path+"/messages", `{}`), 400, hub.CodeBadRequest, want)
	}
}

// broken is a log whose appends and reads fail as told.
type broken struct {
	hub.Log
	append func([]hub.Entry, func([]hub.Result))
	read   error
}

func (b *broken) Append(e []hub.Entry, done func([]hub.Result)) { b.append(e, done) }
func (b *broken) Read(context.Context, hub.Channel, hub.Query) (hub.Page, error) {
	return hub.Page{}, b.read
}

func (b *broken) fails(err error) {
	b.read = err
	b.append = func(e []hub.Entry, done func([]hub.Result)) {
		results := make([]hub.Result, len(e))
		for i := range results {
			results[i].Err = err
		}
		done(results)
	}
}

func TestFailures(t *testing.T) {
	b := &broken{}
	dir := t.TempDir()
	s := openOn(t, func(sink hub.Sink) (log hub.Log, err error) {
		b.Log, err = local.Open(local.Options{Dir: dir, Sink: sink})
		return b, err
	})
	for _, test := range []struct {
		err    error
		status int
		code   hub.Code
		logged int
	}{
		{hub.Errorf(hub.CodeOverloaded, "full"), 503, hub.CodeOverloaded, 0},
		{hub.Errorf(hub.CodeUnavailable, "gone"), 503, hub.CodeUnavailable, 0},
		{hub.Errorf(hub.CodeDiskFull, "full"), 507, hub.CodeDiskFull, 0},
		{hub.Errorf(hub.CodeCorrupt, "rotten"), 500, hub.CodeCorrupt, 0},
		{fmt.Errorf("wrapped: %w", hub.Errorf(hub.CodeConflict, "other")), 409, hub.CodeConflict, 0},
		{errors.New("/secret/path: bad"), 500, hub.CodeInternal, 1},
	} {
		b.fails(test.err)
		for _, request := range []struct{ method, body string }{{"POST", `{}`}, {"POST", `[{}]`}, {"GET", ""}} {
			s.log.Reset()
			p := wantProblem(t, s.do(request.method, chat, request.body), test.status, test.code)
			if strings.Contains(p.Detail+string(p.Results), "/secret") {
				t.Errorf("shows %q", p.Detail)
			}
			if n := strings.Count(s.log.String(), "/secret/path: bad"); n != test.logged {
				t.Errorf("%s %s: logged %d times: %s", request.method, request.body, n, s.log)
			}
		}
	}
}

// TestPublishManyKeepsOrderThroughRetry has the log refuse the second of three for a moment: the third must not overtake it.
func TestPublishManyKeepsOrderThroughRetry(t *testing.T) {
	b := &broken{Log: closer{}, append: func(e []hub.Entry, done func([]hub.Result)) {
		results := make([]hub.Result, len(e))
		for i := range e {
			results[i] = hub.Result{ID: e[i].Message.ID, Err: e[i].Order.Check()}
			if i == 1 {
				results[i].Err = hub.Errorf(hub.CodeOverloaded, "full")
				e[i].Order.Break()
			}
		}
		done(results)
	}}
	x, h := over(t, b)
	for range 2 { // the next request begins an order of its own
		w := httptest.NewRecorder()
		x.ServeHTTP(w, request(`[{"id":"a"},{"id":"b"},{"id":"c"}]`))
		p := wantProblem(t, answer{w.Result(), w.Body.String()}, 503, hub.CodeOverloaded, "2 of 3 messages")
		got := strict[[]result](t, string(p.Results))
		if got[0].ID != "a" || got[1].Code != hub.CodeOverloaded || got[2].Code != hub.CodeOutOfOrder {
			t.Errorf("got %s", p.Results)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// TestPublishAnswersWhenDurable runs in a bubble: Wait returns when nothing more happens by itself.
func TestPublishAnswersWhenDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store func([]hub.Result)
		b := &broken{Log: closer{}, append: func(_ []hub.Entry, done func([]hub.Result)) { store = done }}
		x, h := over(t, b)
		w := httptest.NewRecorder()
		var all sync.WaitGroup
		all.Go(func() { x.ServeHTTP(w, request(`{"id":"a"}`)) })
		synctest.Wait()
		if w.Body.Len() > 0 || store == nil {
			t.Errorf("answered before it was stored: %s", w.Body)
		}
		store([]hub.Result{{ID: "a", Position: hub.Position{Epoch: "e", Offset: 3}, Prev: 2}})
		all.Wait()
		if want := `{"channel":"chat","id":"a","epoch":"e","offset":3,"prev":2}` + "\n"; w.Code != 200 || w.Body.String() != want {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestPublishGivesUp on a log that never answers, and says that nobody knows.
func TestPublishGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, h := over(t, &broken{Log: closer{}, append: func([]hub.Entry, func([]hub.Result)) {}})
		w := httptest.NewRecorder()
		start := time.Now()
		x.ServeHTTP(w, request(`[{"id":"a"}]`))
		var p result
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 503 || p.Code != hub.CodeUnavailable || p.Results != nil || time.Since(start) != publishTime {
			t.Errorf("after %v: %d %s", time.Since(start), w.Code, w.Body)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

// over is the API's publish over a log, without a server, so that it runs in a bubble.
func over(t *testing.T, log hub.Log) (*api, *hub.Hub) {
	t.Helper()
	h, err := hub.New(hub.Options{Open: func(hub.Sink) (hub.Log, error) { return log, nil }})
	if err != nil {
		t.Fatal(err)
	}
	x := New(Options{Hub: h, Auth: keys(t), Log: slog.New(slog.DiscardHandler)}).(*api)
	return x, h
}

func request(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, chat, strings.NewReader(body))
	r.SetBasicAuth("shop-1", secret)
	return r
}

// closer is a log that can only be closed.
type closer struct{ hub.Log }

func (closer) Close() error { return nil }

func TestBodiesAreBounded(t *testing.T) {
	b := &broken{Log: closer{}}
	b.fails(hub.Errorf(hub.CodeDiskFull, "full"))
	x, h := over(t, b)
	x.bodies = body.NewBudget(20)
	for body, status := range map[string]int{`{"data":12345678901}`: 507, `{"data":123456789012}`: 503} {
		w := httptest.NewRecorder()
		x.ServeHTTP(w, request(body))
		if w.Code != status || x.bodies.Used() != 0 {
			t.Errorf("%d bytes: status %d, want %d; %d bytes are still taken", len(body), w.Code, status, x.bodies.Used())
		}
	}
	x.bodies = body.NewBudget(19) // another request has taken one
	w := httptest.NewRecorder()
	x.ServeHTTP(w, request(`{"data":12345678901}`))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

const messages = "/v1/messages"

func TestPublishToManyChannels(t *testing.T) {
	s := open(t)
	if one := into[result](t, s.do("POST", messages, `{"channel":"/","id":"a"}`)); one.Channel != "/" || one.ID != "a" {
		t.Errorf("one: %+v", one)
	}
	got := into[[]result](t, s.do("POST", messages, `{"channels":["a","b","a"],"id":"m","data":1}`))
	if len(got) != 3 || got[0].Channel != "a" || got[1].Channel != "b" || got[1].ID != "m" || !got[2].Duplicate || got[2].Offset != got[0].Offset {
		t.Errorf("one to many: %+v", got)
	}
	got = into[[]result](t, s.do("POST", messages, `[{"channel":"b"},{"channels":["a","c"]},{"channel":"..","ephemeral":true},{"channel":"a"}]`))
	if len(got) != 5 || *got[0].Prev == 0 || got[1].Channel != "a" || got[2].Channel != "c" || !got[3].Ephemeral || got[3].Channel != ".." || *got[4].Prev != got[1].Offset {
		t.Errorf("many to many: %+v", got)
	}
	for i := range 2 {
		if got[i].Offset >= got[i+1].Offset {
			t.Errorf("message %d is not before the next: %+v", i, got)
		}
	}
	if m := into[page](t, s.do("GET", messages+"?channel=/&last=1", "")).Messages; len(m) != 1 || m[0].Channel != "/" {
		t.Errorf("the channel / has %+v", m)
	}
	into[struct {
		Members []any
		Version uint64
	}](t, s.do("GET", "/v1/presence?channel=..", ""))
}

// TestPublishToManySaysWhichWereStored has the second channel of the first message fail, and then refuses what comes behind it.
func TestPublishToManySaysWhichWereStored(t *testing.T) {
	b := &broken{Log: closer{}, append: func(e []hub.Entry, done func([]hub.Result)) {
		results := make([]hub.Result, len(e))
		for i := range e {
			results[i] = hub.Result{ID: e[i].Message.ID, Err: e[i].Order.Check()}
			if i == 1 {
				results[i].Err = hub.Errorf(hub.CodeDiskFull, "full")
				e[i].Order.Break()
			}
		}
		done(results)
	}}
	x, h := over(t, b)
	w := httptest.NewRecorder()
	r := request(`[{"channels":["a","b"],"id":"1"},{"channel":"c","id":"2"}]`)
	r.URL.Path = messages
	x.ServeHTTP(w, r)
	p := wantProblem(t, answer{w.Result(), w.Body.String()}, 507, hub.CodeDiskFull, "2 of 3 messages")
	got := strict[[]result](t, string(p.Results))
	if got[0].Channel != "a" || got[0].Code != 0 || got[1].Channel != "b" || got[1].Code != hub.CodeDiskFull || got[2].Channel != "c" || got[2].Code != hub.CodeOutOfOrder {
		t.Errorf("got %s", p.Results)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestPublishToManyRefuses(t *testing.T) {
	s := open(t)
	hundred := `["` + strings.Repeat(`a","`, 99) + `a"]`
	for body, want := range map[string]string{
		`{"data":1}`:                       "channel is missing; name the channel",
		`[{"channel":"a"},{}]`:             "[1].channel is missing",
		`{"channels":[]}`:                  "channel is missing",
		`{"channel":"a","channels":["b"]}`: "channel and channels are both there",
		`{"channels":"a"}`:                 "channels is or has a string; it must be an array of strings",
		`{"channel":""}`:                   "1 to 1024 bytes",
		`{"channels":["a","\u0001"]}`:      "control characters",
		`{"chanel":"a"}`:                   `did you mean "channel"?`,
		`{"channels":["a","b"],"expect":{"epoch":"e","offset":1}}`: "expect goes with one channel",
	} {
		wantProblem(t, s.do("POST", messages, body), 400, hub.CodeBadRequest, want)
	}
	for body, want := range map[string]string{
		"[" + strings.Repeat(`{"channels":`+hundred+`},`, 10) + `{"channel":"a"}]`:   "at most 1000 messages, counting one for each channel, not 1001",
		`{"channels":` + hundred + `,"data":"` + strings.Repeat("x", 400<<10) + `"}`: "bytes over all their channels, the limit is",
		`{"channels":["` + strings.Repeat(`a","`, 100) + `a"]}`:                      "101 channels in one publish",
	} {
		wantProblem(t, s.do("POST", messages, body), 400, hub.CodeLimit, want)
	}
	if m := into[page](t, s.do("GET", messages+"?channel=a", "")).Messages; len(m) != 0 {
		t.Errorf("stored: %+v", m)
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := open(t)
	first := into[result](t, s.do("POST", chat, `{"data":1}`, `Idempotency-Key: "order-17"`))
	again := into[result](t, s.do("POST", chat, `{"id":"order-17"}`, `Idempotency-Key: order-17`))
	if first.ID != "order-17" || !again.Duplicate || again.Offset != first.Offset {
		t.Errorf("got %+v, then %+v", first, again)
	}
	wantProblem(t, s.do("POST", chat, `{"id":"a"}`, "Idempotency-Key: b"), 400, hub.CodeBadRequest, `the Idempotency-Key is "b" and the message's id "a"`)
	wantProblem(t, s.do("POST", chat, `[{}]`, "Idempotency-Key: b"), 400, hub.CodeBadRequest, "goes with one message")
}
