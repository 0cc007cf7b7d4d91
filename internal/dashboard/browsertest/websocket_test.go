package browsertest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/snoserver/sno/internal/config"
	snoserver "github.com/snoserver/sno/internal/server"
)

// TestBrowserWebSocketBesideHTTP2: a page that came by HTTP/2 opens its WebSocket by a connection of HTTP/1.1, for the server does not offer it over HTTP/2
// (RFC 8441). There the two agree on compression, and the browser's frames are read from the first on.
func TestBrowserWebSocketBesideHTTP2(t *testing.T) {
	url := serveTLS(t)
	page := open(t, browser(t, chromedp.Flag("ignore-certificate-errors", true)), url)
	if got := evaluate[string](page, `performance.getEntriesByType("navigation")[0].nextHopProtocol`); got != "h2" {
		t.Fatalf("the page came by %s", got)
	}
	evaluate[int](page, `
		window.got = []
		window.ws = new WebSocket(location.origin.replace("http", "ws") + "/v1/ws", "sno.v1")
		ws.onopen = () => ws.send('{"type":"connect"}')
		ws.onmessage = e => got.push(...[JSON.parse(e.data)].flat())
		0`)
	page.await(`got.some(f => f.type === "welcome")`)
	if got := evaluate[string](page, `ws.extensions`); !strings.HasPrefix(got, "permessage-deflate") {
		t.Errorf("the browser and the server agreed on %q", got)
	}
	evaluate[int](page, `
		window.text = "snow ".repeat(20000)
		ws.send(JSON.stringify({type: "subscribe", ref: 1, channel: "c"}))
		ws.send(JSON.stringify({type: "publish", ref: 2, channel: "c", data: text}))
		0`)
	page.await(`got.some(f => f.type === "message" && f.data === text)`)
}

// serveTLS starts a server with a certificate that nobody has signed.
func serveTLS(t *testing.T) (url string) {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Dev(filepath.Join(dir, "messages"), "a secret of the tests, of forty characters")
	cfg.Listen = config.Addresses{"127.0.0.1:0"}
	cfg.TLS.Cert, cfg.TLS.Key = writeCertificate(t, dir)
	s, err := snoserver.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.URL()
}

// writeCertificate writes that of net/http/httptest.
func writeCertificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	from := httptest.NewTLSServer(nil)
	defer from.Close()
	pair := from.TLS.Certificates[0]
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
