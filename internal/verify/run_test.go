package verify

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/client/clienttest"
)

func options(url string) Options {
	return Options{
		Client:     client.Options{URL: url},
		Publishers: 2, Subscribers: 2, Channels: 2, Duration: 300 * time.Millisecond, Rate: 1000,
		Prefix: "verify:", Timeout: 10 * time.Second,
	}
}

func TestRunOfAnHonestServer(t *testing.T) {
	b := clienttest.NewBroker(t)
	res, err := Run(context.Background(), options(b.URL))
	if err != nil || !res.OK {
		t.Fatalf("got %+v, %v", res, err)
	}
	if res.Acked == 0 || res.Received != 2*res.Acked || res.Stored != res.Acked || res.Unanswered != 0 || res.Reconnects != 0 {
		t.Errorf("got %+v", res)
	}
	if l := res.DeliveryLatency; l.P50 <= 0 || l.P50 > l.P95 || l.P95 > l.P99 || l.P99 > l.Max {
		t.Errorf("latencies are %+v", l)
	}
}

func TestRunThroughLostConnections(t *testing.T) {
	b := clienttest.NewBroker(t)
	b.CutEvery = 20
	o := options(b.URL)
	o.Drop = 50 * time.Millisecond
	res, err := Run(context.Background(), o)
	if err != nil || !res.OK || res.Reconnects == 0 || res.Acked == 0 {
		t.Errorf("got %+v, %v", res, err)
	}
}

// The experiment must find what a server does wrong, not only the judge.
func TestRunFindsWhatIsBroken(t *testing.T) {
	third := func(id string) bool { return strings.HasSuffix(id, "-3") }
	for name, test := range map[string]struct {
		misbehave func(*clienttest.Broker)
		want      []Kind
	}{
		"an acknowledged message is not stored": {func(b *clienttest.Broker) {
			b.Keep = func(id string) bool { return id != "p0-3" }
		}, []Kind{KindLost, KindMissed}}, // and what its position says of the others, as they happened to come
		"a reader does not get one": {func(b *clienttest.Broker) {
			b.Deliver = func(reader int, f clienttest.Frame) []clienttest.Frame {
				if reader == 1 && third(f["id"].(string)) {
					return nil
				}
				return []clienttest.Frame{f}
			}
		}, []Kind{KindGap, KindMissed}},
		"a reader gets one twice": {func(b *clienttest.Broker) {
			b.Deliver = func(reader int, f clienttest.Frame) []clienttest.Frame {
				if reader == 0 && third(f["id"].(string)) {
					return []clienttest.Frame{f, f}
				}
				return []clienttest.Frame{f}
			}
		}, []Kind{KindRepeated}},
		"readers get others' messages": {func(b *clienttest.Broker) {
			b.Deliver = func(reader int, f clienttest.Frame) []clienttest.Frame {
				if reader == 0 && third(f["id"].(string)) {
					f = maps.Clone(f)
					f["id"] = f["id"].(string) + "'"
				}
				return []clienttest.Frame{f}
			}
		}, []Kind{KindDisagreement, KindMissed, KindPhantom}},
	} {
		t.Run(name, func(t *testing.T) {
			b := clienttest.NewBroker(t)
			test.misbehave(b)
			o := options(b.URL)
			o.Timeout = time.Second
			res, err := Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, kind := range test.want {
				if res.Broken[kind] == 0 || res.OK {
					t.Errorf("found %v, want %v: %+v", res.Broken, test.want, res.Violations)
				}
			}
		})
	}
}

func TestRunThatCannotBe(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, change := range map[string]func(*Options){
		"no server":     func(o *Options) { o.Client.URL = gone.URL },
		"no publisher":  func(o *Options) { o.Publishers = 0 },
		"no subscriber": func(o *Options) { o.Subscribers = 0 },
		"no channel":    func(o *Options) { o.Channels = 0 },
		"no time":       func(o *Options) { o.Duration = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(clienttest.NewBroker(t).URL)
			change(&o)
			if _, err := Run(context.Background(), o); err == nil {
				t.Error("it was run")
			}
		})
	}
}

func TestRunWithoutAnAcknowledgement(t *testing.T) {
	b := clienttest.NewBroker(t)
	o := options(b.URL)
	o.Size = 5 << 20 // more than the server takes
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "nothing was acknowledged") {
		t.Errorf("got %v", err)
	}
}

// An operator who has seen enough gets the verdict on what there was.
func TestRunEndsEarly(t *testing.T) {
	b := clienttest.NewBroker(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var seen atomic.Int32
	b.Deliver = func(_ int, f clienttest.Frame) []clienttest.Frame {
		if seen.Add(1) == 50 {
			cancel()
		}
		return []clienttest.Frame{f}
	}
	o := options(b.URL)
	o.Duration = time.Hour
	res, err := Run(ctx, o)
	if err != nil || !res.OK || res.Acked == 0 {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestProgress(t *testing.T) {
	b := clienttest.NewBroker(t)
	o := options(b.URL)
	o.Duration = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Progress = func(p Progress) {
		if p.Acknowledged == 0 || p.Received == 0 || p.Elapsed < time.Second {
			t.Errorf("got %+v", p)
		}
		cancel()
	}
	if _, err := Run(ctx, o); err != nil {
		t.Error(err)
	}
}
