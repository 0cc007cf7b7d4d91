package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
)

const testSecret = "0123456789abcdef0123456789abcdef"

// post sends a body with headers, and returns the status and what was answered.
func post(t *testing.T, url, body string, header map[string]string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestHooks: a page with nothing but a cookie becomes its user, and its backend is asked about channels that it was not given.
func TestHooks(t *testing.T) {
	var connects, subscribes atomic.Int32
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Channel, Client string }
		switch err := json.NewDecoder(r.Body).Decode(&q); {
		case err != nil:
			t.Error(err)
		case r.URL.Path == "/connect":
			connects.Add(1)
			fmt.Fprint(w, `{"user":"ann","channels":{"own":["subscribe"]}}`)
		default:
			subscribes.Add(1)
			fmt.Fprintf(w, `{"allow":%t}`, q.Channel == "room" && q.Client == "ann")
		}
	}))
	defer backend.Close()
	s := start(t, func(c *config.Config) {
		c.Apps = []config.App{{
			ID: "shop", Keys: []config.Key{{ID: "shop-1", Secret: testSecret}}, ConnectURL: backend.URL + "/connect", SubscribeURL: backend.URL + "/subscribe",
		}}
	})
	body := `[{"type":"connect"},{"type":"subscribe","ref":1,"channel":"own"},{"type":"subscribe","ref":2,"channel":"room"},{"type":"subscribe","ref":3,"channel":"vault"}]`
	for range 2 {
		status, text := post(t, s.URL()+"/v1/poll?wait=0", body, map[string]string{"Cookie": "s=1", "Origin": s.URL()})
		for _, want := range []string{`"client":"ann"`, `"type":"subscribed","ref":1`, `"type":"subscribed","ref":2`, `"ref":3,"code":4301`} {
			if status != http.StatusOK || !strings.Contains(text, want) {
				t.Errorf("got %d %s, want %s", status, text, want)
			}
		}
	}
	for name, header := range map[string]map[string]string{
		"a foreign page": {"Cookie": "s=1", "Origin": "https://evil.example"},
		"no page":        {"Cookie": "s=1"},
		"no cookie":      {"Origin": s.URL()},
	} {
		if status, text := post(t, s.URL()+"/v1/poll?wait=0", body, header); status < 400 || strings.Contains(text, "ann") {
			t.Errorf("%s: got %d %s", name, status, text)
		}
	}
	if connects.Load() != 1 || subscribes.Load() != 4 {
		t.Errorf("asked %d times who connects, %d times about a channel", connects.Load(), subscribes.Load())
	}
	token, err := s.auth.Mint("shop", claimsOf("own"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // who has a token brings no work to the backend, with or without cookies
		status, text := post(t, s.URL()+"/v1/poll?wait=0", `[{"type":"connect","token":"`+token+`"},{"type":"subscribe","ref":1,"channel":"own"}]`, map[string]string{"Cookie": "s=2", "Origin": s.URL()})
		if status != http.StatusOK || !strings.Contains(text, `"type":"subscribed","ref":1`) {
			t.Errorf("got %d %s", status, text)
		}
	}
	if connects.Load() != 1 || subscribes.Load() != 4 {
		t.Error("a reconnect with a token asked the backend")
	}
}

// TestSignedFrames: what a backend has signed is carried out, and nothing else.
func TestSignedFrames(t *testing.T) {
	s := start(t, func(c *config.Config) {
		c.Apps = []config.App{{ID: "shop", Keys: []config.Key{{ID: "shop-1", Secret: testSecret}}}}
	})
	const frames = `[{"type":"connect"},{"type":"publish","ref":1,"channel":"a","data":1}]`
	for _, path := range []string{"/v1/poll?wait=0", "/v1/channels/a/messages"} {
		signed, forged := frames, strings.Replace(frames, `"a"`, `"b"`, 1)
		if strings.HasPrefix(path, "/v1/channels") {
			signed, forged = `{"data":1}`, `{"data":2}`
		}
		header := map[string]string{"Authorization": sign(http.MethodPost, path, signed), "Content-Type": "application/json"}
		if status, text := post(t, s.URL()+path, signed, header); status != http.StatusOK || !strings.Contains(text, `"offset"`) {
			t.Errorf("%s: got %d %s", path, status, text)
		}
		if status, text := post(t, s.URL()+path, forged, header); status != http.StatusUnauthorized || !strings.Contains(text, "not the one that was signed") {
			t.Errorf("%s, forged: got %d %s", path, status, text)
		}
	}
}

func claimsOf(channel string) auth.Claims {
	return auth.Claims{Client: "ann", Allow: []hub.Allow{{Pattern: channel, Actions: hub.ActionSubscribe}}, Expires: time.Now().Add(time.Hour)}
}

// sign signs as docs/auth.md says.
func sign(method, target, body string) string {
	now, digest := time.Now().Unix(), sha256.Sum256([]byte(body))
	mac := hmac.New(sha256.New, []byte(testSecret))
	fmt.Fprintf(mac, "Sno-HMAC-SHA256\n%d\n%s\n%s\n\n%x", now, method, target, digest)
	return fmt.Sprintf(`Sno-HMAC-SHA256 key="shop-1", time="%d", body="%x", signature="%x"`, now, digest, mac.Sum(nil))
}
