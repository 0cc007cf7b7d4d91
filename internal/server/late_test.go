package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
)

// TestLateRequestOfSomebodyWhoGaveUp: a client interrupts its poll to say something, and the poll it gave up is read only after the one that followed: it must not take
// the session from that one.
func TestLateRequestOfSomebodyWhoGaveUp(t *testing.T) {
	s := start(t, func(c *config.Config) {
		shop(c)
		c.Apps[0].Anonymous = map[string][]string{"c": {"subscribe", "publish"}}
	})
	_, first := post(t, s.URL()+"/v1/poll?wait=0", `[{"type":"connect"},{"type":"subscribe","ref":1,"channel":"c"}]`, nil)
	var frames []struct {
		Key    string `json:"session_key"`
		Cursor string
	}
	if err := json.Unmarshal([]byte(first), &frames); err != nil || len(frames) < 3 || frames[0].Key == "" || frames[len(frames)-1].Cursor == "" {
		t.Fatalf("%v: %s", err, first)
	}
	body := `[{"type":"connect","session_key":"` + frames[0].Key + `"},{"type":"subscribe","cursor":"` + frames[len(frames)-1].Cursor + `"}]`
	answer := make(chan string, 1)
	go func() {
		_, text := post(t, s.URL()+"/v1/poll?wait=20", body, nil)
		answer <- text
	}()
	awaitSubscribed(t, s)
	gone, giveUp := context.WithCancel(t.Context())
	giveUp()
	for range 100 { // what becomes of one is a matter of luck
		for _, path := range []string{"/v1/poll?wait=20", "/v1/stream", "/v1/sse"} {
			s.http.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, http.MethodPost, path, strings.NewReader(body)))
		}
	}
	if status, text := post(t, s.URL()+"/v1/poll?wait=0", `[{"type":"connect"},{"type":"publish","ref":1,"channel":"c","data":"news"}]`, nil); !strings.Contains(text, `"published"`) {
		t.Fatalf("publish: %d %s", status, text)
	}
	if got := <-answer; !strings.Contains(got, `"data":"news"`) {
		t.Errorf("the poll that waits was answered by %s", got)
	}
}

// awaitSubscribed waits until a session follows a channel.
func awaitSubscribed(t *testing.T, s *Server) {
	t.Helper()
	admin := &hub.Grant{App: "shop", Allow: []hub.Allow{{Pattern: "*", Actions: hub.ActionAdmin}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		all, _, err := s.hub.SessionInfos(admin, hub.SessionFilter{Channel: "c"}, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("nobody follows the channel")
		}
	}
}
