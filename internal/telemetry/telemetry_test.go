package telemetry_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/config"
)

// TestEveryTransportIsCounted has a client of each transport follow a channel while one publishes to it.
func TestEveryTransportIsCounted(t *testing.T) {
	r := serve(t)
	connect := `{"type":"connect","token":"` + r.token("ann") + `"}`
	follow := connect + `{"type":"subscribe","ref":1,"channel":"news"}`
	ws, _ := r.websocket("[" + strings.Replace(follow, "}{", "},{", 1) + "]")
	stream := r.response(http.MethodPost, "/v1/stream", follow)
	sse := r.response(http.MethodGet, "/v1/sse?channel=news&token="+r.token("bob"), "")
	for _, f := range []*follower{ws, stream, sse} {
		f.until(t, `"subscribed"`)
	}
	_, first := r.do(http.MethodPost, "/v1/poll?wait=0", connect+`{"type":"subscribe","channel":"news"}`)
	cursor := regexp.MustCompile(`"cursor":"([^"]+)"`).FindStringSubmatch(first)
	if cursor == nil {
		t.Fatal(first)
	}
	polled := make(chan string, 1)
	go func() {
		_, body := r.do(http.MethodPost, "/v1/poll", connect+`{"type":"subscribe","cursor":"`+cursor[1]+`"}{"type":"enter","channel":"news"}`)
		polled <- body
	}()
	r.want(map[string]float64{
		`sno_connections{transport="websocket"}`: 1, `sno_connections{transport="stream"}`: 1, `sno_connections{transport="sse"}`: 1, `sno_connections{transport="poll"}`: 1,
		`sno_sessions`: 4, `sno_live_channels`: 1, `sno_presence_members`: 1, `sno_sessions_examined`: 4,
	})
	for range 2 { // the second is a retry
		if status, body := r.publish("news", "m1"); status != http.StatusOK {
			t.Fatal(status, body)
		}
	}
	if body := <-polled; !strings.Contains(body, `"m1"`) {
		t.Fatal(body)
	}
	for _, f := range []*follower{ws, stream, sse} {
		f.until(t, `"m1"`)
	}
	r.want(map[string]float64{
		`sno_published_messages_total{code="ok"}`: 1, `sno_published_messages_total{code="duplicate"}`: 1, `sno_delivered_messages_total`: 4,
		`sno_delivery_seconds_count`: 4, `sno_publish_ack_seconds_count`: 2, `sno_store_commit_messages_sum`: 1, `sno_store_commit_seconds_count`: 1,
		`sno_sessions`: 3, `sno_sessions_behind`: 0, `sno_largest_lag_messages`: 0, `sno_store_queue_bytes`: 0,
		`sno_disconnects_total{code="goodbye",transport="poll"}`:                            2,
		`sno_http_requests_total{class="2xx",route="POST /v1/channels/{channel}/messages"}`: 2,
	})
	ws.close()
	stream.close()
	sse.close()
	r.want(map[string]float64{
		`sno_connections{transport="websocket"}`: 0, `sno_connections{transport="stream"}`: 0, `sno_connections{transport="sse"}`: 0, `sno_connections{transport="poll"}`: 0,
		`sno_connects_total{transport="websocket"}`: 1, `sno_connects_total{transport="poll"}`: 2,
		`sno_disconnects_total{code="goodbye",transport="websocket"}`: 1, `sno_disconnects_total{code="gone",transport="stream"}`: 1,
		`sno_http_requests_total{class="1xx",route="GET /v1/ws"}`: 1, `sno_http_requests_total{class="2xx",route="GET /v1/sse"}`: 1,
		`sno_sessions`: 0, `sno_live_channels`: 0,
	})
	got := r.scrape()
	for _, name := range []string{`sno_received_bytes_total{transport="stream"}`, `sno_sent_bytes_total{transport="poll"}`, `sno_sent_bytes_total{transport="sse"}`, `sno_store_disk_bytes`, `sno_store_disk_free_bytes`, `sno_delivery_seconds_sum`} {
		if got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if got, sent := got[`sno_received_bytes_total{transport="stream"}`], float64(len(follow)); got != sent {
		t.Errorf("%v bytes of frames came by stream, %v were sent", got, sent)
	}
}

func (r *running) publish(channel, id string) (int, string) {
	r.t.Helper()
	return r.do(http.MethodPost, "/v1/channels/"+channel+"/messages", `{"id":"`+id+`","data":1}`, "Authorization", r.basic(), "Content-Type", "application/json")
}

func TestEndsAndRefusalsHaveTheirCodes(t *testing.T) {
	r := serve(t)
	ws, c := r.websocket(`{"type":"connect","token":"` + r.token("ann") + `"}`)
	ws.until(t, `"welcome"`)
	if err := c.WriteMessage(1, []byte(`[`+strings.Repeat(`"no frame",`, 150)+`{}]`)); err != nil {
		t.Fatal(err)
	}
	ws.until(t, `bad_frame`)
	ws.close()
	for _, bad := range []struct {
		path, body string
		status     int
	}{
		{"/v1/stream", `{"type":"connect","token":"not-a-token"}`, http.StatusUnauthorized},
		{"/v1/poll", `{"type":"ping"}`, http.StatusBadRequest},
		{"/v1/poll?wait=x", "", http.StatusBadRequest},
	} {
		if status, body := r.do(http.MethodPost, bad.path, bad.body); status != bad.status {
			t.Errorf("%s: %d %s", bad.path, status, body)
		}
	}
	if status, _ := r.do(http.MethodGet, "/v1/sse?channel=c", "", "Origin", "https://elsewhere.example"); status != http.StatusForbidden {
		t.Error(status)
	}
	if status, _ := r.do(http.MethodGet, "/v1/ws", ""); status != http.StatusBadRequest {
		t.Error(status)
	}
	r.want(map[string]float64{
		`sno_disconnects_total{code="bad_frame",transport="websocket"}`: 1,
		`sno_disconnects_total{code="unauthorized",transport="stream"}`: 1,
		`sno_disconnects_total{code="bad_handshake",transport="poll"}`:  1,
		`sno_refused_connections_total{reason="bad_origin"}`:            1,
		`sno_refused_connections_total{reason="bad_request"}`:           1,
		`sno_refused_connections_total{reason="handshake"}`:             1,
		`sno_http_requests_total{class="4xx",route="GET /v1/sse"}`:      1,
	})
	for _, line := range []string{`code=bad_frame`, `code=bad_origin`, `code=unauthorized`, `session=`, `client=ann`, `transport=websocket`, `address=127.0.0.1`} {
		if !strings.Contains(r.log.String(), line) {
			t.Errorf("the log has no %s:\n%s", line, r.log)
		}
	}
}

// TestLagIsSeen has a client that does not read while much is published.
func TestLagIsSeen(t *testing.T) {
	r := serve(t)
	slow := r.stalled(`{"type":"connect","token":"` + r.token("ann") + `"}{"type":"subscribe","ref":1,"channel":"news"}`)
	defer slow()
	data := strings.Repeat("x", 200_000)
	for i := range 60 {
		if status, body := r.do(http.MethodPost, "/v1/channels/news/messages", fmt.Sprintf(`{"id":"%d","data":%q}`, i, data), "Authorization", r.basic(), "Content-Type", "application/json"); status != http.StatusOK {
			t.Fatal(status, body)
		}
	}
	r.want(map[string]float64{`sno_sessions_behind`: 1, `sno_sessions_far_behind`: 1})
	if lag := r.scrape()[`sno_largest_lag_messages`]; lag < 5 || lag > 60 {
		t.Errorf("the lag is %v", lag)
	}
}

func TestResetsHaveTheirReason(t *testing.T) {
	r := serve(t)
	if status, body := r.publish("news", "m1"); status != http.StatusOK {
		t.Fatal(status, body)
	}
	if status, body := r.do(http.MethodPost, "/v1/poll?wait=0", `{"type":"connect","token":"`+r.token("ann")+`"}{"type":"subscribe","channel":"news","epoch":"another","offset":3}`); status != http.StatusOK {
		t.Fatal(status, body)
	}
	r.want(map[string]float64{
		`sno_resets_total{reason="epoch_changed"}`: 1, `sno_resets_total{reason="expired"}`: 0, `sno_resets_total{reason="ahead"}`: 0,
		// What a client catches up on was not slow to come.
		`sno_delivered_messages_total`: 1, `sno_delivery_seconds_count`: 0,
	})
}

// TestSeriesAreBounded has clients send all that they can choose the value of.
func TestSeriesAreBounded(t *testing.T) {
	r := serve(t)
	hostile := func(i int) {
		name := fmt.Sprintf("evil-%d", i)
		connect := `{"type":"connect","token":"` + r.token(name) + `","app":"` + name + `"}`
		r.do(http.MethodPost, "/v1/poll?wait=0", connect+`{"type":"subscribe","channel":"`+name+`"}{"type":"publish","channel":"`+name+`","event":"`+name+`","id":"`+name+`"}{"type":"enter","channel":"`+name+`"}{"type":"`+name+`"}`)
		r.do(http.MethodPost, "/v1/channels/"+name+"/messages", `{"data":1}`, "Authorization", r.basic(), "Content-Type", "application/json")
		r.do(http.MethodGet, "/"+name+"/../"+name, "")
		r.do(http.MethodGet, "/v1/"+name+"//x", "")
		r.do("X"+strings.ToUpper(name[5:])+"Y", "/v1/messages", "")
		r.do(http.MethodGet, "/v1/sse?"+name+"=1", "", "Origin", "https://"+name+".example")
		r.do(http.MethodGet, "/v1/ws", "", "Authorization", name)
		r.publish(name, name)
	}
	hostile(0)
	hostile(1)
	before := r.scrape()
	for i := 2; i < 40; i++ {
		hostile(i)
	}
	after := r.scrape()
	for name := range after {
		if strings.Contains(name, "evil") {
			t.Errorf("a client has chosen %s", name)
		}
		// Which garbage collections and system calls there were is the runtime's own business.
		if _, there := before[name]; !there && strings.HasPrefix(name, "sno_") {
			t.Errorf("%s came with more clients", name)
		}
	}
	if n := after[`sno_published_messages_total{code="ok"}`]; n != 80 {
		t.Errorf("%v messages were published: did the requests work?", n)
	}
}

// TestLogsShowNoSecrets looks for everything secret that clients of a busy server have used.
func TestLogsShowNoSecrets(t *testing.T) {
	r := serve(t)
	token := r.token("ann")
	const payload, key = "payload-that-is-nobodys-business", "a-session-key-of-enough-bytes-in-it"
	connect := `{"type":"connect","token":"` + token + `","session_key":"` + key + `"}`
	ws, c := r.websocket(connect)
	ws.until(t, `"welcome"`)
	for _, frame := range []string{`{"type":"publish","channel":"c","data":"` + payload + `"}`, `{"type":"enter","channel":"c","data":"` + payload + `"}`, `{"type":"publish","data":"` + payload + `"`} {
		if err := c.WriteMessage(1, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	ws.until(t, `not a JSON frame`)
	r.do(http.MethodPost, "/v1/poll?wait=0", connect) // replaces the session
	r.do(http.MethodPost, "/v1/poll", `{"type":"connect","key":"`+keyID+`:`+secret+`x"}`)
	r.do(http.MethodPost, "/v1/poll", `{"type":"connect","key":"`+secret+`"}`)
	r.do(http.MethodPost, "/v1/stream", `{"type":"connect","token":"`+secret+`"}`)
	r.do(http.MethodGet, "/v1/sse?channel=c&token="+token+"x", "")
	r.do(http.MethodGet, "/v1/sse?channel=c&tokn="+token, "")
	for _, header := range []string{secret, token, "Bearer " + secret, "Basic " + secret, r.basic() + "x"} {
		for _, path := range []string{"/v1/ws", "/v1/stream", "/v1/messages"} {
			r.do(http.MethodGet, path+"?channel=c", "", "Authorization", header)
		}
	}
	ws.until(t, `replaced`)
	ws.close()
	r.want(map[string]float64{`sno_connections{transport="websocket"}`: 0})
	log := r.log.String()
	for _, secret := range []string{secret, secret[:20], token, token[:40], strings.Split(token, ".")[2], payload, key, strings.TrimPrefix(r.basic(), "Basic ")} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q:\n%s", secret, log)
		}
	}
	if n := strings.Count(log, "\n"); n < 10 {
		t.Errorf("the log has %d lines: was it written?\n%s", n, log)
	}
}

func TestWhoFindsNoRoomIsCounted(t *testing.T) {
	r := serve(t, func(c *config.Config) { c.Limits.Connections = 1 })
	ws, _ := r.websocket(`{"type":"connect","token":"` + r.token("ann") + `"}`)
	ws.until(t, `"welcome"`)
	r.want(map[string]float64{`sno_sockets`: 1, `sno_sockets_limit`: 1})
	if status, body := r.do(http.MethodGet, "/healthz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, body)
	}
	r.want(map[string]float64{`sno_refused_connections_total{reason="overloaded_connect"}`: 1})
	ws.close()
}

func TestBuildInfo(t *testing.T) {
	r := serve(t)
	for name, v := range r.scrape() {
		if strings.HasPrefix(name, "sno_build_info") && strings.Contains(name, `version="1.2.3-test"`) && v == 1 {
			return
		}
	}
	t.Error("sno_build_info has no version")
}

// TestMetricsAreNotPublic: they are on the admin listener only.
func TestMetricsAreNotPublic(t *testing.T) {
	if status, _ := serve(t).do(http.MethodGet, "/metrics", ""); status != http.StatusNotFound {
		t.Error(status)
	}
}
