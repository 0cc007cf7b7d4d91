package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestP7OverloadIsRefusedEarly: with few file descriptors a server takes as many connections as it can carry, tells the others at once when to come
// back, and those that are connected do not notice; whoever goes makes room.
func TestP7OverloadIsRefusedEarly(t *testing.T) {
	s := serveFile(t, "ulimit -n 256;", configText("k", ""))
	c := connected(t, s.urls[0], "k")
	defer c.Close(t.Context())
	dial := func() (*websocket.Conn, *http.Response) {
		d := websocket.Dialer{Subprotocols: []string{"sno.v1"}, HandshakeTimeout: servePatience}
		ws, resp, err := d.Dial("ws"+strings.TrimPrefix(s.urls[0], "http")+"/v1/ws", nil)
		if err != nil && resp == nil {
			t.Fatal(err)
		}
		return ws, resp
	}
	var in []*websocket.Conn
	var refusal *http.Response
	for refusal == nil && len(in) < 256 {
		ws, resp := dial()
		if ws == nil {
			refusal = resp
			break
		}
		defer ws.Close()
		if err := ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"connect","key":"k:%s"}`, serveSecret)); err != nil { // who says nothing is given up
			t.Fatal(err)
		}
		in = append(in, ws)
	}
	if refusal == nil || len(in) < 100 {
		t.Fatalf("%d are in, and then %v", len(in), refusal)
	}
	after, err := strconv.Atoi(refusal.Header.Get("Retry-After"))
	if err != nil || refusal.StatusCode != http.StatusServiceUnavailable || after < 1 || after > 10 || refusal.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("refused with %s %v", refusal.Status, refusal.Header)
	}
	if status, body := get(t, s.admin+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"overloaded_connect"`) {
		t.Errorf("/readyz says %d %s", status, body)
	}
	crowd(t, strings.TrimPrefix(s.urls[1], "http://"))
	for range 200 {
		started := time.Now()
		ws, _ := dial()
		if ws != nil {
			t.Fatal("one came in over the limit")
		}
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("a refusal took %s", took)
		}
		if err := publishes(t, c, 1000); err != nil {
			t.Fatalf("of one who is connected: %v", err)
		}
	}
	in[0].Close()
	for deadline := time.Now().Add(servePatience); ; time.Sleep(time.Millisecond) { // the server sees that it is closed when it does
		if ws, _ := dial(); ws != nil {
			ws.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a place that was given back is not taken again")
		}
	}
}

// crowd makes many connections that say nothing, and waits until the server has closed all but those it keeps for refusals.
func crowd(t *testing.T, addr string) {
	for range 300 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(servePatience))
		defer func() {
			defer c.Close()
			if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("a silent connection is kept: %v", err)
			}
		}()
	}
}
