package api

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	public    = "/v1/channels/public:a/messages"
	anonymous = "Authorization: "
)

// fill publishes n messages to public:a and returns the position before them.
func (s *site) fill(n int) (before string) {
	s.t.Helper()
	before = into[page](s.t, s.do("GET", public, "")).Next
	for range n {
		into[result](s.t, s.do("POST", public, `{}`))
	}
	return before
}

func maxAge(t *testing.T, a answer) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`^public, max-age=(\d+)(, immutable)?$`).FindStringSubmatch(a.Header.Get("Cache-Control"))
	if m == nil {
		t.Fatalf("Cache-Control: %s", a.Header.Get("Cache-Control"))
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n) * time.Second
}

// TestFullPagesNeverChange: whatever is published later, a full page is the same to the byte.
func TestFullPagesNeverChange(t *testing.T) {
	s := open(t)
	start := s.fill(3)
	url := public + "?limit=3&after=" + start
	first := s.do("GET", url, "", anonymous)
	if maxAge(t, first) != 365*24*time.Hour || !strings.HasSuffix(first.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("a rule without an age: %v", first.Header)
	}
	if p := into[page](t, first); len(p.Messages) != 3 || !p.More || p.Head.Epoch != "" {
		t.Errorf("got %+v", p)
	}
	s.fill(2)
	second := s.do("GET", url, "", anonymous)
	tag := second.Header.Get("ETag")
	if second.body != first.body || tag == "" || tag != first.Header.Get("ETag") {
		t.Errorf("first %s %s, then %s %s", first.Header.Get("ETag"), first.body, tag, second.body)
	}
	for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		a := s.do("GET", url, "", anonymous, "If-None-Match: "+known)
		if a.StatusCode != http.StatusNotModified || a.body != "" || a.Header.Get("ETag") != tag || a.Header.Get("Cache-Control") != first.Header.Get("Cache-Control") {
			t.Errorf("%s: %d %v", known, a.StatusCode, a.Header)
		}
	}
	if a := s.do("GET", url, "", anonymous, `If-None-Match: "other"`); a.StatusCode != 200 {
		t.Errorf("another tag: %d", a.StatusCode)
	}
	if rest := s.do("GET", public+"?limit=3&after="+into[page](t, first).Next, "", anonymous); maxAge(t, rest) != time.Second || len(into[page](t, rest).Messages) != 2 || into[page](t, rest).More {
		t.Errorf("the rest: %v %s", rest.Header, rest.body)
	}
}

// TestPagesAreKeptAsLongAsTheirMessages: no cache shows a message for longer than the rule says.
func TestPagesAreKeptAsLongAsTheirMessages(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	taken := &hub.Message{Time: now.Add(-10 * time.Minute).UnixMilli()}
	q := hub.Query{After: &hub.Position{}, Limit: 1}
	for age, want := range map[time.Duration]time.Duration{time.Hour: 50 * time.Minute, time.Minute: 0, 0: forever, 1000 * 24 * time.Hour: forever} {
		if got := keepFor(&hub.Rule{Keep: hub.Retention{Age: age}}, q, hub.Page{Messages: []*hub.Message{taken}}, now); got != want {
			t.Errorf("messages are kept for %v: the page for %v, want %v", age, got, want)
		}
	}
}

func TestWhatCachesMayKeep(t *testing.T) {
	s := open(t)
	start := s.fill(2)
	for name, test := range map[string]struct {
		path    string
		headers []string
		want    string
	}{
		"unfinished":            {public + "?after=" + start, []string{anonymous}, "public, max-age=1"},
		"newest":                {public + "?last=1", []string{anonymous}, "public, max-age=1"},
		"reset":                 {public + "?limit=1&after=gone:1", []string{anonymous}, "public, max-age=1"},
		"by an app key":         {public + "?limit=1&after=" + start, nil, "no-store"},
		"by a token":            {public + "?limit=1&after=" + start, []string{"Authorization: Bearer " + token(t, "ann", "x", 1, time.Now().Add(time.Hour))}, "no-store"},
		"with a cookie":         {public + "?limit=1&after=" + start, []string{anonymous, "Cookie: a=b"}, "no-store"},
		"not public":            {chat, nil, "no-store"},
		"refused":               {chat, []string{anonymous}, "no-store"},
		"nothing within a wait": {public + "?wait=1&after=" + into[page](t, s.do("GET", public, "")).Next, []string{anonymous}, "public, max-age=1"},
	} {
		if a := s.do("GET", test.path, "", test.headers...); a.Header.Get("Cache-Control") != test.want {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.Header)
		}
	}
}

func TestWait(t *testing.T) {
	s := open(t)
	end := s.fill(0)
	answers := make(chan answer, 3)
	var all sync.WaitGroup
	for range cap(answers) {
		all.Go(func() { answers <- s.do("GET", public+"?wait=55&after="+end, "", anonymous) })
	}
	for s.waiting() < cap(answers) {
		<-time.After(time.Millisecond)
	}
	into[result](t, s.do("POST", public, `{"id":"m"}`))
	all.Wait()
	for range cap(answers) {
		if p := into[page](t, <-answers); len(p.Messages) != 1 || p.Messages[0].ID != "m" || p.Next == end {
			t.Errorf("got %+v", p)
		}
	}
	if p := into[page](t, s.do("GET", public+"?wait=55&after="+end, "")); len(p.Messages) != 1 {
		t.Errorf("what is there already: %+v", p)
	}
	if p := into[page](t, s.do("GET", public+"?wait=55&after=gone:1", "")); p.Reset == "" {
		t.Errorf("a reset: %+v", p)
	}
	wantProblem(t, s.do("GET", public+"?wait=5", ""), 400, hub.CodeBadRequest, "wait goes with after")
	wantProblem(t, s.do("GET", public+"?wait=56&after=a:1", ""), 400, hub.CodeBadRequest, "from 0 to 55")
}

// waiting is how many requests wait for a message of public:a.
func (s *site) waiting() int { return int(s.api.waiting.Load()) }

// TestWaitEndsWithTheDrain: a server that goes does not hold on to those who wait.
func TestWaitEndsWithTheDrain(t *testing.T) {
	s := open(t)
	end := s.fill(0)
	done := make(chan answer)
	go func() { done <- s.do("GET", public+"?wait=55&after="+end, "", anonymous) }()
	for s.waiting() < 1 {
		<-time.After(time.Millisecond)
	}
	s.hub.Refuse(hub.Errorf(hub.CodeGoaway, "draining"))
	if a := <-done; a.StatusCode != http.StatusNoContent || a.body != "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestWaitIsBounded(t *testing.T) {
	s := open(t)
	end := s.fill(0)
	s.api.waiting.Store(maxWaiting)
	wantProblem(t, s.do("GET", public+"?wait=5&after="+end, "", anonymous), 503, hub.CodeOverloaded, fmt.Sprint(maxWaiting))
	if got := s.waiting(); got != maxWaiting {
		t.Errorf("%d wait", got)
	}
}
