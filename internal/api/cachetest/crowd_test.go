package cachetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

const (
	crowd    = 1000
	messages = 20
	path     = "/v1/channels/public:score/messages"
	// seconds is how long a poll waits. In the middle everybody is silent for longer, so that all polls are renewed.
	seconds = 2
	pace    = 250 * time.Millisecond
	silence = 5 * time.Second
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is a server with a public channel that counts what it is asked, and looks whether the crowd is gathered.
type origin struct {
	*httptest.Server
	hub   *hub.Hub
	asked atomic.Int64

	mu       sync.Mutex
	answered map[string]time.Time // by URL; zero while it is being answered
	strays   []string             // requests that the cache should have kept to itself
}

// fresh is how long after an answer the same is not asked again, at least: caches may keep it for a second, and nginx counts in whole ones by a clock that it
// looks at now and then.
const fresh = 500 * time.Millisecond

// ask notes a request. However slow everything is, a cache asks for a URL once at a time, and for what it has only when that is old.
func (o *origin) ask(r *http.Request) (done func()) {
	o.asked.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	url := r.URL.String()
	if before, known := o.answered[url]; known && before.IsZero() {
		o.strays = append(o.strays, url+" beside itself")
	} else if known && time.Since(before) < fresh {
		o.strays = append(o.strays, fmt.Sprintf("%s %v after its answer", url, time.Since(before)))
	}
	o.answered[url] = time.Time{}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.answered[url] = time.Now()
	}
}

func serve(t *testing.T) *origin {
	t.Helper()
	dir := t.TempDir()
	h, err := hub.New(hub.Options{Open: func(s hub.Sink) (hub.Log, error) { return local.Open(local.Options{Dir: dir, Sink: s}) }})
	if err != nil {
		t.Fatal(err)
	}
	h.SetApps([]hub.App{{ID: "shop", Rules: []hub.Rule{{Pattern: "public:*", Public: true, Keep: hub.Retention{Age: time.Hour}}}}})
	a, err := auth.New([]auth.App{{ID: "shop", Keys: []auth.Key{{ID: "shop-1", Secret: strings.Repeat("s", 32)}}, Public: true}})
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{hub: h, answered: map[string]time.Time{}}
	x := api.New(api.Options{Hub: h, Auth: a, Log: slog.New(slog.DiscardHandler)})
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer o.ask(r)()
		x.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		o.Close()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func (o *origin) publish(t *testing.T, n int) {
	t.Helper()
	g := &hub.Grant{App: "shop", Server: true, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}
	results, err := o.hub.PublishWait(t.Context(), g, []hub.Publication{{Channels: []string{"public:score"}, Data: strconv.AppendInt(nil, int64(n), 10)}})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		t.Error(err)
	}
}

// page is what a poller needs of one.
type page struct {
	Messages []struct{ Data int }
	Next     string
	Reset    string
}

// get returns the page of a URL; 204 is one without messages and a next.
func get(ctx context.Context, c *http.Client, url string) (p page, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return p, err
	}
	res, err := c.Do(r)
	if err != nil {
		return p, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode == http.StatusNoContent {
		return p, err
	}
	if res.StatusCode != http.StatusOK {
		return p, fmt.Errorf("%s: %s", res.Status, text)
	}
	return p, json.Unmarshal(text, &p)
}

// follow reads until it has every message, each once and in order.
func follow(ctx context.Context, c *http.Client, site, next string) error {
	for had := 0; had < messages; {
		p, err := get(ctx, c, fmt.Sprintf("%s%s?after=%s&wait=%d", site, path, url.QueryEscape(next), seconds))
		switch {
		case err != nil:
			return err
		case p.Reset != "":
			return fmt.Errorf("reset %s after %s", p.Reset, next)
		case p.Next == "":
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return fmt.Errorf("has %d of %d messages: %w", had, messages, ctx.Err())
			}
			continue
		}
		for _, m := range p.Messages {
			if m.Data != had {
				return fmt.Errorf("got message %d where %d should be", m.Data, had)
			}
			had++
		}
		next = p.Next
	}
	return nil
}

// TestCrowd has a thousand follow a channel through a cache. Each gets every message, and the server is asked at most twice a message, with the renewals, if
// the machine keeps the pace.
func TestCrowd(t *testing.T) {
	for _, c := range caches {
		t.Run(c.program, func(t *testing.T) {
			o := serve(t)
			site := c.run(t, o.Listener.Addr().String())
			transport := &http.Transport{MaxIdleConnsPerHost: crowd}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			began := time.Now()
			start, err := get(ctx, client, site+path+"?last=1")
			if err != nil || start.Next == "" {
				t.Fatal(start, err)
			}
			var all sync.WaitGroup
			failures := make(chan error, crowd)
			for range crowd {
				all.Go(func() { failures <- follow(ctx, client, site, start.Next) })
			}
			for n := range messages {
				<-time.After(pace)
				if n == messages/2 {
					<-time.After(silence)
				}
				o.publish(t, n)
			}
			all.Wait()
			late := time.Since(began) - messages*pace - silence
			close(failures)
			bad := 0
			for err := range failures {
				if err != nil {
					if bad++; bad <= 3 {
						t.Error(err)
					}
				}
			}
			t.Logf("%d followed %d messages; %d failed; the server was asked %d times; %v late", crowd, messages, bad, o.asked.Load(), late)
			// In each second that the crowd needs longer than planned, what it has not read yet becomes too old once, and polls end without news.
			if asked := o.asked.Load(); asked > 2*messages+int64(late/time.Second) {
				t.Errorf("the server was asked %d times for %d messages, %v late", asked, messages, late)
			}
			if o.mu.Lock(); len(o.strays) > 0 {
				t.Errorf("%d requests should not have come, the first for %s", len(o.strays), o.strays[0])
			}
			o.mu.Unlock()
		})
	}
}
