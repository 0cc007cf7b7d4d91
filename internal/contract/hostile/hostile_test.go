package hostile

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/server"
)

const (
	patience = 30 * time.Second
	secret   = "a secret of the tests, of forty characters"
	// spare is by how much the live memory of the process may differ before and after an attack: the store has its own rhythm.
	spare = 48 << 20
)

var httpClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target is a server under attack.
type target struct {
	url, addr string
	calm      *calm
}

// attacks are played one after the other against one server.
var attacks = []struct {
	name string
	play func(*testing.T, *target)
}{
	{"frames that are no frames", badFrames},
	{"wrong types in every field", wrongTypes},
	{"names", badNames},
	{"too much in one frame", tooMuch},
	{"oversized messages", oversized},
	{"oversized bodies", oversizedBodies},
	{"compression bombs", bombs},
	{"tokens", badTokens},
	{"cursors and session keys", badCursors},
	{"readers that do not read", deafReaders},
	{"a client that asks and never listens", deafAsker},
	{"a million bytes of frames a time, unread", deafSender},
	{"ten thousand subscriptions", manySubscriptions},
	{"a thousand posts at once", manyPosts},
	{"connections that come and go", churn},
	{"slow requests", slowRequests},
	{"headers that disagree", smuggling},
	{"streams that are reset at once", rapidReset},
}

func TestHostileClients(t *testing.T) {
	url := serve(t)
	x := &target{url: url, addr: strings.TrimPrefix(url, "http://"), calm: newCalm(t, url)}
	eventually(t, "the bystanders hear", func() bool {
		for _, b := range x.calm.all {
			if b.seen.Load() == 0 {
				return false
			}
		}
		return true
	})
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			sessions, memory, start := x.sessions(t), live(), time.Now()
			a.play(t, x)
			took := time.Since(start)
			httpClient.CloseIdleConnections()
			eventually(t, "no session is left of the attack", func() bool { return x.sessions(t) <= sessions })
			eventually(t, "no memory is left of the attack", func() bool { return live() <= memory+spare })
			x.calm.check(t)
			t.Logf("it took %v", took.Round(time.Millisecond))
		})
	}
}

// serve starts a server, which is stopped at the end of the test.
func serve(t *testing.T) (url string) {
	t.Helper()
	cfg := config.Dev(filepath.Join(t.TempDir(), "messages"), secret)
	cfg.Listen = config.Addresses{"127.0.0.1:0"}
	s, err := server.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		httpClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		httpClient.CloseIdleConnections()
	})
	return s.URL()
}

// sessions is how many there are, without those of polls: the bystander's come and go.
func (x *target) sessions(t *testing.T) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.url+"/v1/sessions?limit=1000", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("dev", secret)
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var page struct {
		Sessions []struct{ Transport string }
	}
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", res.Status, err)
	}
	n := 0
	for _, s := range page.Sessions {
		if s.Transport != "poll" {
			n++
		}
	}
	return n
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.After(patience)
	for !is() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-end:
			buf := make([]byte, 1<<20)
			t.Fatalf("it is not so after %v: %s\n%.20000s", patience, what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// live is how many bytes are held, but for the store's tables in memory. It makes larger ones as more is written, in whichever attack that is, and keeps them; they are the
// heap's under the race detector only.
func live() int64 {
	runtime.GC()
	runtime.GC() // the profile is of the collection before
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) - tables()
}

// tables is how much of the heap the store's engine manages by itself.
func tables() (bytes int64) {
	records := make([]runtime.MemProfileRecord, 10_000)
	n, _ := runtime.MemProfile(records, false)
	for _, r := range records[:n] {
		for frames := runtime.CallersFrames(r.Stack()); ; {
			f, more := frames.Next()
			if strings.HasSuffix(f.Function, "pebble/v2/internal/manual.New") {
				bytes += r.InUseBytes()
				break
			}
			if !more {
				break
			}
		}
	}
	return bytes
}
