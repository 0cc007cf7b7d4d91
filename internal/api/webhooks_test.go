package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/outbox"
)

// deadPage is what GET /v1/webhooks/{webhook}/dead answers.
type deadPage struct {
	Dead []struct {
		Offset            int64
		ID, Type, Channel string
		Reason            string
		Data              json.RawMessage
		Failures          int
	}
	More bool
}

// Dead letters are as the document says, and can be sent again one by one.
func TestDeadLetters(t *testing.T) {
	var fine atomic.Bool
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !fine.Load() {
			http.Error(w, "not today", http.StatusTeapot)
		}
	}))
	defer receiver.Close()
	url, box := api.OpenOutbox(t, outbox.Options{Life: time.Millisecond}, outbox.Endpoint{
		Name: "orders", URL: receiver.URL + "/?key=hidden", Secrets: [][]byte{[]byte("secret")}, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	d := openDocument(t)
	box.ClientEvent(hub.Channel{App: "shop", Name: "c"}, "client-a", []byte(`{"a":1}`), "s", "ann")
	box.SubscriptionCount(hub.Channel{App: "shop", Name: "c"}, 0)
	box.CacheMiss(hub.Channel{App: "shop", Name: "d"})
	ask := func(path string, into any) {
		t.Helper()
		if err := json.Unmarshal(d.check(t, url, exchange{method: "GET", path: path, status: 200}), into); err != nil {
			t.Fatal(err)
		}
	}
	var hooks struct {
		Webhooks []struct {
			Webhook, URL, Reason string
			Dead, Parked         int
		}
	}
	for deadline := time.Now().Add(20 * time.Second); len(hooks.Webhooks) == 0 || hooks.Webhooks[0].Dead < 3; ask("/v1/webhooks", &hooks) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", hooks)
		}
	}
	if w := hooks.Webhooks[0]; w.URL != receiver.URL+"/" || w.Reason != "status 418: not today" {
		t.Errorf("%+v", w)
	}
	var page, rest deadPage
	ask("/v1/webhooks/orders/dead?limit=2", &page)
	if len(page.Dead) != 2 || !page.More || page.Dead[0].Reason != "status 418: not today" || page.Dead[0].Failures == 0 {
		t.Fatalf("%+v", page)
	}
	after, _ := json.Marshal(page.Dead[1].Offset)
	ask("/v1/webhooks/orders/dead?after="+string(after), &rest)
	if len(rest.Dead) != 1 || rest.More {
		t.Fatalf("%+v", rest)
	}
	var one deadPage
	if ask("/v1/webhooks/orders/dead?id="+page.Dead[1].ID, &one); len(one.Dead) != 1 || one.More || !reflect.DeepEqual(one.Dead[0], page.Dead[1]) {
		t.Errorf("got %+v, want %+v", one, page.Dead[1])
	}
	var tried struct {
		Taken  bool
		Reason string
	}
	try := func() {
		t.Helper()
		tried.Reason = ""
		if err := json.Unmarshal(d.check(t, url, exchange{method: "POST", path: "/v1/webhooks/orders/test", status: 200}), &tried); err != nil {
			t.Fatal(err)
		}
	}
	if try(); tried.Taken || tried.Reason != "status 418: not today" {
		t.Errorf("%+v", tried)
	}
	fine.Store(true)
	if try(); !tried.Taken || tried.Reason != "" {
		t.Errorf("%+v", tried)
	}
	d.check(t, url, exchange{method: "POST", path: "/v1/webhooks/orders/resend?id=" + page.Dead[0].ID, status: 200})
	d.check(t, url, exchange{method: "DELETE", path: "/v1/webhooks/orders/dead?id=" + page.Dead[1].ID, status: 200})
	var left deadPage
	if ask("/v1/webhooks/orders/dead", &left); len(left.Dead) != 1 || left.Dead[0].ID != rest.Dead[0].ID {
		t.Errorf("left are %+v", left)
	}
}
