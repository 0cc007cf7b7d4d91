package clienttest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/config"
)

const patience = 20 * time.Second

// raw is a WebSocket whose frames are looked at as they are.
type raw struct {
	t    *testing.T
	conn *websocket.Conn
	id   string // the socket's
}

// dialRaw connects without waiting for anything.
func dialRaw(t *testing.T, p place, path string) *raw {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.URL, "http")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &raw{t: t, conn: c}
}

var established = regexp.MustCompile(`^\{"event":"pusher:connection_established","data":"\{\\"socket_id\\":\\"(\d+\.\d+)\\",\\"activity_timeout\\":30\}"\}$`)

func connectRaw(t *testing.T, p place) *raw {
	t.Helper()
	c := dialRaw(t, p, "/app/"+p.Key+"?protocol=7&client=js&version=8.6.0&flash=false")
	first := c.next()
	m := established.FindStringSubmatch(first)
	if m == nil {
		t.Fatalf("the first frame is %s", first)
	}
	c.id = m[1]
	return c
}

func (c *raw) next() string {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	kind, msg, err := c.conn.ReadMessage()
	if err != nil || kind != websocket.TextMessage {
		c.t.Fatalf("kind %d, %v", kind, err)
	}
	return string(msg)
}

func (c *raw) send(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		if err := c.conn.WriteMessage(websocket.TextMessage, []byte(f)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *raw) want(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		if got := c.next(); got != want {
			c.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// nothing checks that nothing has come before the answer to a ping.
func (c *raw) nothing() {
	c.t.Helper()
	c.send(`{"event":"pusher:ping"}`)
	c.want(`{"event":"pusher:pong","data":"{}"}`)
}

func (c *raw) subscribe(channel, channelData string) {
	c.t.Helper()
	data := map[string]string{"channel": channel, "auth": ""}
	text := c.id + ":" + channel
	if channelData != "" {
		data["channel_data"] = channelData
		text += ":" + channelData
	}
	data["auth"] = "key-1:" + sign(text)
	b, err := json.Marshal(map[string]any{"event": "pusher:subscribe", "data": data})
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(string(b))
}

func sign(text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// ends wants the connection to end with a code.
func (c *raw) ends(code int) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		_, msg, err := c.conn.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			if closed.Code != code {
				c.t.Errorf("closed with %d %q, want %d", closed.Code, closed.Text, code)
			}
			return
		}
		if err != nil {
			c.t.Fatalf("%v, after %s", err, msg)
		}
	}
}

// publish publishes as a native backend does.
func (p place) publish(t *testing.T, channel, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/v1/channels/"+channel+"/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(p.Key, p.Secret)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("publish: %s", res.Status)
	}
}

// A client that asks for nothing special gets these frames, to the byte.
func TestFrames(t *testing.T) {
	p := serve(t)
	c := connectRaw(t, p)
	c.send(`{"event":"pusher:subscribe","data":{"channel":"c","auth":""}}`)
	c.want(`{"event":"pusher_internal:subscription_succeeded","channel":"c","data":"{}"}`)
	p.publish(t, "c", `{"event":"e","data":{"a": [1, "ü"]}}`)
	p.publish(t, "c", `{"event":"e","data":"text"}`)
	p.publish(t, "c", `{"data":null}`)
	p.publish(t, "c", `{"event":"b","base64":"AAH/"}`)
	p.publish(t, "c", `{"event":"pusher_internal:member_added","data":{}}`)
	p.publish(t, "c", `{"event":"t","data":"text","headers":{"pusher-data":"text"}}`)
	p.publish(t, "c", `{"event":"v","data":[1],"headers":{"pusher-data":"value"}}`)
	p.publish(t, "c", `{"event":"e","data":1,"ephemeral":true}`)
	c.want(
		`{"event":"e","channel":"c","data":"{\"a\": [1, \"ü\"]}"}`,
		`{"event":"e","channel":"c","data":"\"text\""}`,
		`{"event":"message","channel":"c","data":"null"}`,
		`{"event":"b","channel":"c","data":"AAH/"}`,
		`{"event":"t","channel":"c","data":"text"}`,
		`{"event":"v","channel":"c","data":[1]}`,
		`{"event":"e","channel":"c","data":"1"}`,
	)
	c.subscribe("presence-p", `{"user_id":7,"user_info":{"n": 1}}`)
	c.want(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-p","data":"{\"presence\":{\"ids\":[\"7\"],\"hash\":{\"7\":{\"n\": 1}},\"count\":1}}"}`)
	d := connectRaw(t, p)
	d.subscribe("presence-p", `{"user_id":"8"}`)
	d.want(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-p","data":"{\"presence\":{\"ids\":[\"7\",\"8\"],\"hash\":{\"7\":{\"n\": 1},\"8\":null},\"count\":2}}"}`)
	c.want(`{"event":"pusher_internal:member_added","channel":"presence-p","data":"{\"user_id\":\"8\",\"user_info\":null}"}`)
	d.send(`{"event":"client-x","channel":"presence-p","data":{"a": 1},"user_id":"7"}`, `{"event":"client-x","channel":"presence-p","data":"{\"a\": 1}"}`, `{"event":"client-x","channel":"presence-p","data":"text"}`)
	c.want(
		`{"event":"client-x","channel":"presence-p","data":{"a": 1},"user_id":"8"}`,
		`{"event":"client-x","channel":"presence-p","data":"{\"a\": 1}","user_id":"8"}`,
		`{"event":"client-x","channel":"presence-p","data":"text","user_id":"8"}`,
	)
	d.nothing()
	d.send(`{"event":"pusher:unsubscribe","data":{"channel":"presence-p"}}`)
	d.nothing()
	c.want(`{"event":"pusher_internal:member_removed","channel":"presence-p","data":"{\"user_id\":\"8\"}"}`)
	d.send(`{"event":"pusher:signin","data":{"auth":"key-1:` + sign(d.id+`::user::{"id":"u"}`) + `","user_data":"{\"id\":\"u\"}"}}`)
	d.want(`{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"u\\\"}\"}"}`)
	watching := `{"id":"u","watchlist":["7"]}`
	d.send(`{"event":"pusher:signin","data":{"auth":"key-1:` + sign(d.id+"::user::"+watching) + `","user_data":"` + strings.ReplaceAll(watching, `"`, `\"`) + `"}}`)
	d.want(`{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"u\\\",\\\"watchlist\\\":[\\\"7\\\"]}\"}"}`)
	d.nothing()
	c.nothing()
}

// Where a client is told where it is, it is told before the event that brings it there. It goes on from there, or is told that it does not.
func TestResumeFrames(t *testing.T) {
	p := serve(t)
	c := connectRaw(t, p)
	c.send(`{"event":"sno:resume","data":{}}`, `{"event":"pusher:subscribe","data":{"channel":"c"}}`)
	position := regexp.MustCompile(`^\{"event":"sno:position","channel":"c","data":"([^"]+)"\}$`)
	at := func(from *raw) string {
		t.Helper()
		frame := from.next()
		m := position.FindStringSubmatch(frame)
		if m == nil {
			t.Fatalf("got %s, want a position", frame)
		}
		return m[1]
	}
	begin := at(c)
	c.want(`{"event":"pusher_internal:subscription_succeeded","channel":"c","data":"{}"}`)
	var positions []string
	for n := range 3 {
		p.publish(t, "c", fmt.Sprintf(`{"event":"e","data":%d}`, n))
		positions = append(positions, at(c))
		c.want(fmt.Sprintf(`{"event":"e","channel":"c","data":"%d"}`, n))
	}
	p.publish(t, "c", `{"event":"typing","data":1,"ephemeral":true}`) // which has none
	c.want(`{"event":"typing","channel":"c","data":"1"}`)
	for from, first := range map[string]int{begin: 0, positions[0]: 1, positions[2]: 3} {
		d := connectRaw(t, p)
		d.send(`{"event":"sno:resume","data":{"c":"`+from+`"}}`, `{"event":"pusher:subscribe","data":{"channel":"c"}}`)
		if got := at(d); got != from {
			t.Errorf("it goes on at %s, want %s", got, from)
		}
		d.want(`{"event":"pusher_internal:subscription_succeeded","channel":"c","data":"{}"}`)
		for n := first; n < 3; n++ {
			if got := at(d); got != positions[n] {
				t.Errorf("message %d is at %s, want %s", n, got, positions[n])
			}
			d.want(fmt.Sprintf(`{"event":"e","channel":"c","data":"%d"}`, n))
		}
		d.nothing()
	}
	late := connectRaw(t, p)
	late.send(`{"event":"pusher:subscribe","data":{"channel":"c"}}`, `{"event":"sno:resume","data":{"c":"`+begin+`"}}`)
	late.want(`{"event":"pusher_internal:subscription_succeeded","channel":"c","data":"{}"}`, `{"event":"sno:reset","channel":"c","data":"{\"reason\":\"late\"}"}`)
	late.nothing()
	late.send(`{"event":"sno:resume","data":{"c":"` + begin + `"}}`) // again: it has been told
	late.nothing()
}

// A frame that cannot be carried out costs that frame, whatever is in it.
func TestBadFrames(t *testing.T) {
	p := serve(t)
	c := connectRaw(t, p)
	c.send(`{"event":"pusher:subscribe","data":{"channel":"there"}}`)
	c.next()
	for _, frame := range []string{
		``, `x`, `{`, `[]`, `null`, `1`, `{}`, `{"event":1}`, `{"event":""}`, `{"event":"unknown"}`, `{"event":"pusher:unknown"}`,
		`{"event":"pusher:subscribe"}`, `{"event":"pusher:subscribe","data":null}`, `{"event":"pusher:subscribe","data":{}}`, `{"event":"pusher:subscribe","data":[]}`,
		`{"event":"pusher:subscribe","data":"x"}`, `{"event":"pusher:subscribe","data":{"channel":7}}`, `{"event":"pusher:subscribe","data":{"channel":{"a":1}}}`,
		`{"event":"pusher:subscribe","data":{"channel":"private-x","auth":7}}`, `{"event":"pusher:unsubscribe"}`, `{"event":"pusher:unsubscribe","data":{"channel":"never"}}`,
		`{"event":"pusher:signin"}`, `{"event":"pusher:signin","data":{"auth":null,"user_data":7}}`, `{"event":"client-x"}`, `{"event":"client-x","channel":"private-x","data":1}`,
		`{"event":"sno:resume","data":{"c":"nonsense"}}`, `{"event":"sno:resume","data":7}`, `{"event":"pusher:ping","channel":7}`, strings.Repeat(`{"event":`, 5000), "\xff\xfe",
	} {
		c.send(frame)
		if got := c.next(); !strings.HasPrefix(got, `{"event":"pusher:error","data":{"code":null,"message":"`) && !strings.HasPrefix(got, `{"event":"pusher:error","data":{"code":4009,`) {
			t.Errorf("%.60q is answered by %s", frame, got)
		}
	}
	for _, channel := range []string{strings.Repeat("x", 2000), "#online-a", "#", "a\nb", "there"} {
		b, _ := json.Marshal(map[string]any{"event": "pusher:subscribe", "data": map[string]any{"channel": channel}})
		c.send(string(b))
		if got := c.next(); !strings.HasPrefix(got, `{"event":"pusher:subscription_error","channel":`) {
			t.Errorf("%.20q is answered by %s", channel, got)
		}
		if got := c.next(); !strings.HasPrefix(got, `{"event":"pusher:error",`) {
			t.Errorf("%.20q is answered by %s", channel, got)
		}
	}
	for _, data := range []string{`x`, `{}`, `{"user_id":""}`, `{"user_id":null}`, `{"user_id":{"a":1}}`, `{"user_id":true}`, `[]`} {
		c.subscribe("presence-x", data)
		if got := c.next(); !strings.HasPrefix(got, `{"event":"pusher:subscription_error","channel":"presence-x"`) || !strings.Contains(got, "Invalid channel_data") {
			t.Errorf("channel_data %s is answered by %s", data, got)
		}
		c.next()
	}
	if err := c.conn.WriteMessage(websocket.BinaryMessage, []byte(`{"event":"pusher:ping"}`)); err != nil {
		t.Fatal(err)
	}
	if got := c.next(); !strings.Contains(got, "binary") {
		t.Errorf("a binary message is answered by %s", got)
	}
	c.send(`{"event":"client-x","channel":"private-x","data":"` + strings.Repeat("x", 2_300_000) + `"}`)
	if got := c.next(); !strings.Contains(got, "the limit is") {
		t.Errorf("a large frame is answered by %.100s", got)
	}
	p.publish(t, "there", `{"event":"e","data":1}`)
	c.want(`{"event":"e","channel":"there","data":"1"}`)
}

// How a connection is refused says whether its client comes back.
func TestRefusedConnections(t *testing.T) {
	p := serve(t)
	for path, code := range map[string]int{
		"/app/nobody?protocol=7": 4001, "/app/key-closed?protocol=7": 4001, "/app/key-1?protocol=x": 4006, "/app/key-1?protocol=3": 4007, "/app/key-1?protocol=8": 4007,
	} {
		c := dialRaw(t, p, path)
		if got, want := c.next(), fmt.Sprintf(`{"event":"pusher:error","data":{"code":%d,"message":"`, code); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", path, got)
		}
		c.ends(code)
	}
	stranger := p
	stranger.Key = "nobody"
	l := dialXHR(stranger, "xhr_streaming")
	defer l.Close()
	if got, err := l.next(t.Context()); err != nil || !strings.HasPrefix(got, `{"event":"pusher:error","data":{"code":4001,`) {
		t.Errorf("%s, %v", got, err)
	}
	_, err := l.next(t.Context())
	if closed, ok := errors.AsType[*closedError](err); !ok || closed.code != 4001 {
		t.Errorf("it ends with %v", err)
	}
	for _, path := range []string{"/app/key-1", "/app/key-1?protocol=5"} {
		if got := dialRaw(t, p, path).next(); !established.MatchString(got) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// A server that ends closes its connections with the code for "come back at once", spread over the time it has, and what was stored before has been sent.
func TestDrain(t *testing.T) {
	const window = time.Second
	p := serve(t, func(c *config.Config) { c.Drain = config.Duration(window) })
	var all []*raw
	for range 20 {
		c := connectRaw(t, p)
		c.send(`{"event":"pusher:subscribe","data":{"channel":"c"}}`)
		c.next()
		all = append(all, c)
	}
	p.publish(t, "c", `{"event":"last","data":1}`)
	began := time.Now()
	ended := make([]time.Duration, len(all))
	var waiting sync.WaitGroup
	for i, c := range all {
		c.want(`{"event":"last","channel":"c","data":"1"}`)
		waiting.Go(func() {
			c.ends(4200)
			ended[i] = time.Since(began)
		})
	}
	p.stop()
	waiting.Wait()
	slices.Sort(ended)
	if spread := ended[len(ended)-1] - ended[0]; spread < window/4 {
		t.Errorf("they end within %s of each other; the server had %s", spread, window)
	}
}

// A crowd that comes at once gets in, in its turn: a client that is refused would be back after a second, with all others.
func TestCrowdWaits(t *testing.T) {
	const crowd, rate = 120, 40 // the last is let in after nearly three seconds, which others do not wait
	p := serve(t, func(c *config.Config) { c.Limits.Handshakes = rate })
	began := time.Now()
	var coming sync.WaitGroup
	for n := range crowd {
		coming.Go(func() {
			if n%3 == 0 {
				l := dialXHR(p, "xhr_streaming")
				defer l.Close()
				if first, err := l.next(t.Context()); err != nil || !established.MatchString(first) {
					t.Errorf("%s, %v", first, err)
				}
				return
			}
			l, err := dialSocket(p)
			if err != nil {
				t.Error(err)
				return
			}
			l.Close()
		})
	}
	coming.Wait()
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it took %s: nobody has waited", took)
	}
}

// Each secret of each key of the app counts, and no other.
func TestAnotherKeyOfTheApp(t *testing.T) {
	p := serve(t, func(c *config.Config) {
		c.Apps[0].Keys = append(c.Apps[0].Keys, config.Key{ID: "second", Secret: secret + " of another key"})
	})
	c := connectRaw(t, p)
	h := hmac.New(sha256.New, []byte(secret+" of another key"))
	h.Write([]byte(c.id + ":private-x"))
	c.send(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"private-x","auth":"second:%x"}}`, h.Sum(nil)))
	c.want(`{"event":"pusher_internal:subscription_succeeded","channel":"private-x","data":"{}"}`)
	h = hmac.New(sha256.New, []byte(secret+" before"))
	h.Write([]byte(c.id + ":private-y"))
	c.send(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"private-y","auth":"key-1:%x"}}`, h.Sum(nil)))
	c.want(`{"event":"pusher_internal:subscription_succeeded","channel":"private-y","data":"{}"}`)
	c.send(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"private-z","auth":"key-plain:%s"}}`, sign(c.id+":private-z")))
	if got := c.next(); !strings.Contains(got, "Invalid signature") {
		t.Errorf("a key of another app: %s", got)
	}
}
