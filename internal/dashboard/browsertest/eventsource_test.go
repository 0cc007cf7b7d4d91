package browsertest

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
)

// TestBrowserEventSourceResumesByItself: a page with an EventSource and nothing else gets every message once, in order, over servers that are killed, drained
// and started again. The browser itself comes back, with the last event's id.
func TestBrowserEventSourceResumesByItself(t *testing.T) {
	s := startServer(t)
	page := open(t, browser(t), s.url())
	evaluate[int](page, `
		window.got = []
		window.source = new EventSource("/v1/sse?channel=tab&channel=other")
		source.onmessage = e => { const f = JSON.parse(e.data); if (f.type === "message" && f.channel === "tab") got.push(f.data) }
		source.addEventListener("open", () => window.opened = (window.opened || 0) + 1)
		0`)
	page.await(`window.opened === 1`)
	n := 0
	publish := func() {
		t.Helper()
		for range 20 {
			s.publish("tab", "", fmt.Sprint(n))
			n++
		}
	}
	publish()
	page.await(`got.length === 20`)
	for i, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		if err := s.cmd.Process.Signal(end); err != nil {
			t.Fatal(err)
		}
		<-s.gone
		s.start()
		publish()
		page.await(fmt.Sprintf(`got.length >= %d && opened >= %d`, n, i+2))
	}
	got := evaluate[[]int](page, `got`)
	want := make([]int, n)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page got %v", got)
	}
	if state := evaluate[int](page, `source.readyState`); state != 1 {
		t.Errorf("the EventSource is in state %d", state)
	}
}

// TestBrowserEventSourceGivesUpWhereItMust: what would not be better another time has a status, and the browser does not try again.
func TestBrowserEventSourceGivesUpWhereItMust(t *testing.T) {
	s := startServer(t)
	page := open(t, browser(t), s.url())
	evaluate[int](page, `window.source = new EventSource("/v1/sse?channel=%01"); 0`)
	page.await(`source.readyState === EventSource.CLOSED`)
}

// TestBrowserFollowsByFetch reads a stream line by line, as the document shows it, and sends beside it.
func TestBrowserFollowsByFetch(t *testing.T) {
	s := startServer(t)
	page := open(t, browser(t), s.url())
	evaluate[int](page, `
		window.frames_ = []
		;(async () => {
			const answer = await fetch("/v1/stream", {method: "POST", body: JSON.stringify([{type: "connect"}, {type: "subscribe", ref: 1, channel: "tab"}])})
			let rest = ""
			for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
				const lines = (rest + text).split("\n")
				rest = lines.pop()
				lines.forEach(line => frames_.push(JSON.parse(line)))
			}
		})()
		0`)
	page.await(`frames_.some(f => f.type === "subscribed")`)
	evaluate[int](page, `
		fetch("/v1/send", {method: "POST", body: JSON.stringify([
			{type: "connect", session: frames_[0].session, session_key: frames_[0].session_key},
			{type: "publish", ref: 2, channel: "tab", data: "from the page"},
		])})
		0`)
	page.await(`frames_.some(f => f.type === "published" && f.ref === 2) && frames_.some(f => f.type === "message" && f.data === "from the page")`)
}
