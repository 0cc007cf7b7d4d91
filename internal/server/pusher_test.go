package server

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snoserver/sno/internal/config"
)

const pusherSecret = "a secret of the tests, of forty characters"

// pusherDoorOf starts a server for clients made for Pusher, until the test ends.
func pusherDoorOf(t testing.TB, change func(*config.Config)) *Server {
	t.Helper()
	cfg := config.Dev(filepath.Join(t.TempDir(), "messages"), pusherSecret)
	cfg.Listen = config.Addresses{"127.0.0.1:0"}
	change(&cfg)
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// pusherPublish is a signed request to publish, as a library sends it.
func pusherPublish(n int64) string {
	body := fmt.Sprintf(`{"name":"e","channel":"bench-%d","data":"{\"n\":%d,\"text\":\"hello, this is a message of usual length, as there are many\"}"}`, n%64, n)
	sum := md5.Sum([]byte(body))
	query := fmt.Sprintf("auth_key=dev&auth_timestamp=%d&auth_version=1.0&body_md5=%x", time.Now().Unix(), sum)
	mac := hmac.New(sha256.New, []byte(pusherSecret))
	fmt.Fprintf(mac, "POST\n/apps/dev/events\n%s", query)
	return fmt.Sprintf("POST /apps/dev/events?%s&auth_signature=%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		query, hex.EncodeToString(mac.Sum(nil)), len(body), body)
}

// processorTime is what this process has had, which is the same on a busy machine.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPusherPublish publishes by 16 connections that are kept alive, each waiting for its answer. The client is part of what it costs, so it does little.
func BenchmarkPusherPublish(b *testing.B) {
	for _, store := range []string{"memory", "disk"} {
		b.Run(store, func(b *testing.B) {
			s := pusherDoorOf(b, func(c *config.Config) { c.Apps[0].Rules = []config.Rule{{Pattern: "*", Store: store}} })
			address := strings.TrimPrefix(s.URL(), "http://")
			const connections = 16
			var n atomic.Int64
			began := processorTime()
			done := make(chan error, connections)
			for range connections {
				nc, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				defer nc.Close()
				go func() {
					answers := bufio.NewReader(nc)
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						if _, err := io.WriteString(nc, pusherPublish(i)); err != nil {
							done <- err
							return
						}
						res, err := http.ReadResponse(answers, nil)
						if err == nil && res.StatusCode != http.StatusOK {
							err = fmt.Errorf("status %s", res.Status)
						}
						if err == nil {
							_, err = io.Copy(io.Discard, res.Body)
						}
						if err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range connections {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processorTime()-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}
