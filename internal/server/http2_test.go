package server

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestNoWebSocketOverHTTP2: without the setting (RFC 8441 §3) no client tries, and browsers open a connection of HTTP/1.1 for a WebSocket; one that tries all the same is refused.
func TestNoWebSocketOverHTTP2(t *testing.T) {
	s := start(t, shop)
	nc, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := nc.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(nc, bufio.NewReader(nc))
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, is := frame.(*http2.SettingsFrame)
	if !is || settings.IsAck() {
		t.Fatalf("the server begins with %v, not its settings", frame)
	}
	if v, said := settings.Value(http2.SettingEnableConnectProtocol); said && v != 0 {
		t.Errorf("the server offers WebSocket over HTTP/2: SETTINGS_ENABLE_CONNECT_PROTOCOL is %d", v)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", "/v1/ws"}, {"sec-websocket-version", "13"}, {"sec-websocket-protocol", "sno.v1"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame:
			if frame.ErrCode != http2.ErrCodeProtocol {
				t.Errorf("the stream is reset with %v, want %v", frame.ErrCode, http2.ErrCodeProtocol)
			}
			return
		case *http2.HeadersFrame:
			t.Fatal("the server answers it")
		}
	}
}
