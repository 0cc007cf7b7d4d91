package clienttest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/snoserver/sno/internal/client"
)

// dialNative connects a native client, as a backend.
func dialNative(t *testing.T, p place) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Options{URL: p.URL, Key: p.Key, Secret: p.Secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// What backends of both kinds publish at once arrives at pusher-js and at a native client in one order, with the same values.
func TestOneOrderOnBothProtocols(t *testing.T) {
	const each = 150
	p := serve(t)
	c := dialNative(t, p)
	native := make(chan string, 10*each)
	_, err := c.Subscribe(t.Context(), "both", client.SubscribeOptions{}, func(e client.Event) {
		switch e := e.(type) {
		case *client.Message:
			native <- e.Event + " " + string(e.Data)
		case *client.Fault:
			t.Error(e.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	// The script subscribes, says so, publishes events of its own, and prints what arrives until it has all.
	script := p.node(t, "crossdoor.mjs", fmt.Sprint(each))
	out, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	script.Stderr = &stderr
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "subscribed" {
		t.Fatalf("the script begins with %q: %s", lines.Text(), stderr.String())
	}
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for n := range each {
			data := fmt.Appendf(nil, `{"from":"native","n":%d}`, n)
			if _, err := c.Publish(t.Context(), client.Publication{Channel: "both", Event: "e", Data: data}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var pusher []string
	for lines.Scan() {
		pusher = append(pusher, lines.Text())
	}
	publishing.Wait()
	if err := script.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if len(pusher) != 2*each {
		t.Fatalf("pusher-js got %d events, want %d", len(pusher), 2*each)
	}
	changes := 0
	for i, want := range pusher {
		if got := <-native; got != want {
			t.Fatalf("event %d is %s natively, and %s at pusher-js", i, got, want)
		}
		if i > 0 && strings.Contains(want, "native") != strings.Contains(pusher[i-1], "native") {
			changes++
		}
	}
	if changes < 10 {
		t.Errorf("the two have hardly published at once: they took turns %d times", changes)
	}
	for _, from := range []string{"native", "pusher"} {
		n := 0
		for _, line := range pusher {
			if strings.Contains(line, from) {
				if want := fmt.Sprintf(`e {"from":%q,"n":%d}`, from, n); line != want {
					t.Fatalf("got %s, want %s", line, want)
				}
				n++
			}
		}
	}
}

// Members are the same, whichever protocol they have entered by.
func TestMembersOfBothProtocols(t *testing.T) {
	p := serve(t)
	c := dialNative(t, p)
	changes := make(chan string, 10)
	_, err := c.Subscribe(t.Context(), "presence-both", client.SubscribeOptions{Presence: true}, func(e client.Event) {
		if e, ok := e.(*client.Presence); ok {
			b, _ := json.Marshal(e)
			changes <- string(b)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-changes // the snapshot
	if err := c.Enter(t.Context(), "presence-both", "nat", []byte(`{"name":"Nat"}`)); err != nil {
		t.Fatal(err)
	}
	if got := <-changes; !strings.Contains(got, "nat") {
		t.Errorf("natively: %s", got)
	}
	d := connectRaw(t, p)
	d.subscribe("presence-both", `{"user_id":"pia"}`)
	d.want(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-both","data":"{\"presence\":{\"ids\":[\"nat\",\"pia\"],\"hash\":{\"nat\":{\"name\":\"Nat\"},\"pia\":null},\"count\":2}}"}`)
	if got := <-changes; !strings.Contains(got, "pia") {
		t.Errorf("natively: %s", got)
	}
	if err := c.Leave(t.Context(), "presence-both", "nat"); err != nil {
		t.Fatal(err)
	}
	d.want(`{"event":"pusher_internal:member_removed","channel":"presence-both","data":"{\"user_id\":\"nat\"}"}`)
}
