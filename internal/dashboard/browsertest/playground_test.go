package browsertest

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestMessagesAppearInBothTabsInOrder(t *testing.T) {
	s, b := startServer(t), browser(t)
	one, two := open(t, b, s.url()), open(t, b, s.url()+"/#lobby")
	s.publish("lobby", "news", `{ "n": 1.0e2 }`)
	s.publish("lobby", "news", `"<b>two</b><img src=x onerror=alert(1)>"`)
	one.publish("said", `{"n":  3}`)
	two.click("#form-text")
	two.publish("said", "four & <i>more</i>")
	want := []string{`{ "n": 1.0e2 }`, `"<b>two</b><img src=x onerror=alert(1)>"`, `{"n":  3}`, `"four & <i>more</i>"`}
	for _, tab := range []*tab{one, two} {
		tab.awaitData(want...)
		tab.counters(4)
		tab.chain()
		if n := evaluate[int](tab, `document.querySelectorAll("#messages b, #messages i, #messages img").length`); n != 0 {
			t.Errorf("%d elements came out of messages' data", n)
		}
	}
}

func TestWhatIsPublishedWhileOfflineComesOnce(t *testing.T) {
	s, b := startServer(t), browser(t)
	one, two := open(t, b, s.url()), open(t, b, s.url())
	s.publish("lobby", "", "0")
	one.awaitData("0")
	one.click("#go-offline")
	one.awaitState("disconnected")
	want := []string{"0"}
	for n := 1; n <= 50; n++ {
		s.publish("lobby", "", fmt.Sprint(n))
		want = append(want, fmt.Sprint(n))
	}
	two.awaitData(want...)
	one.awaitData("0")
	one.publish("", "1000")
	one.await(`document.querySelector("#publish-result").classList.contains("error")`)
	one.click("#go-offline")
	one.awaitState("connected")
	for _, tab := range []*tab{one, two} {
		tab.awaitData(want...)
		tab.counters(51)
		tab.chain()
	}
}

func TestPresence(t *testing.T) {
	s, b := startServer(t), browser(t)
	one, two := open(t, b, s.url()), open(t, b, s.url())
	one.fill("#name", "Ann")
	one.click("#enter")
	two.awaitMembers("Ann")
	two.fill("#name", "Bob <b>")
	two.click("#enter")
	one.awaitMembers("Ann", "Bob <b>")
	one.click("#leave")
	two.awaitMembers("Bob <b>")
	two.click("#go-offline")
	one.awaitMembers()
	two.click("#go-offline")
	one.awaitMembers("Bob <b>")
	two.fill("#channel", "elsewhere")
	two.click("#channel-form button")
	one.awaitMembers()
}

func TestBothTabsResumeAfterTheServerIsKilled(t *testing.T) {
	s, b := startServer(t), browser(t)
	one, two := open(t, b, s.url()), open(t, b, s.url())
	one.fill("#name", "Ann")
	one.click("#enter")
	two.awaitMembers("Ann")
	want := []string{"1", "2"}
	for _, data := range want {
		s.publish("lobby", "before", data)
	}
	one.awaitData(want...)
	two.awaitData(want...)
	s.kill()
	one.awaitState("connecting")
	two.awaitState("connecting")
	s.start()
	for _, data := range []string{"3", "4", "5"} {
		s.publish("lobby", "after", data)
		want = append(want, data)
	}
	for _, tab := range []*tab{one, two} {
		tab.awaitState("connected")
		tab.awaitData(want...)
		tab.counters(5)
		tab.chain()
		tab.awaitMembers("Ann")
	}
	two.publish("said", `"from two"`)
	one.awaitData(append(want, `"from two"`)...)
}

func TestOlderMessagesArePagedIn(t *testing.T) {
	s, b := startServer(t), browser(t)
	var want []string
	for n := range 120 {
		s.publish("pages", "", fmt.Sprint(n))
		want = append(want, fmt.Sprint(n))
	}
	one := open(t, b, s.url()+"/#pages")
	one.awaitData(want[70:]...)
	one.click("#older")
	one.awaitData(want[20:]...)
	one.click("#older")
	one.awaitData(want...)
	one.await(`document.querySelector("#older").hidden`)
	one.chain()
	one.counters(50)
}

func TestTheURLNamesTheChannel(t *testing.T) {
	s, b := startServer(t), browser(t)
	one := open(t, b, s.url())
	one.fill("#channel", "a b/ü'")
	one.click("#channel-form button")
	one.await(`location.hash === "#a%20b%2F%C3%BC'"`)
	one.publish("", "1")
	one.awaitData("1")
	one.await(`document.querySelector("#curl-publish").textContent.includes("/v1/channels/a%20b%2F%C3%BC%27/messages") && document.querySelector("#curl-publish").textContent.includes("dev:SECRET")`)
	two := open(t, b, evaluate[string](one, "location.href"))
	two.awaitData("1")
	two.await(`document.querySelector("#channel").value === "a b/ü'"`)
	two.do(chromedp.Evaluate[chromedp.Void](`void (location.hash = "lobby")`))
	two.await(`document.querySelector("#channel").value === "lobby" && document.querySelectorAll("#messages li").length === 0`)
}

func TestWhatIsNotJSONIsNotPublished(t *testing.T) {
	s, b := startServer(t), browser(t)
	one := open(t, b, s.url())
	one.publish("", `{"text": }`)
	one.await(`document.querySelector("#data").getAttribute("aria-invalid") === "true" && document.querySelector("#publish-result").textContent.includes("not JSON")`)
	one.publish("", `2`)
	one.awaitData("2")
	one.await(`document.querySelector("#data").getAttribute("aria-invalid") === "false"`)
}

func TestABadTokenIsSaid(t *testing.T) {
	s, b := startServer(t), browser(t)
	one := open(t, b, s.url())
	one.click("#credentials summary")
	one.fill("#token", "not.a.token")
	one.click("#token-form [type=submit]")
	one.awaitState("disconnected")
	one.await(`document.querySelector("#reason").textContent.includes("4001")`)
	one.click("#forget")
	one.awaitState("connected")
}

func TestOnlyTheNewestMessagesStayInThePage(t *testing.T) {
	s, b := startServer(t), browser(t)
	one := open(t, b, s.url())
	const n = 1100
	evaluate[bool](one, fmt.Sprintf(`(() => {
		const ws = new WebSocket(location.origin.replace("http", "ws") + "/v1/ws");
		ws.onopen = () => {
			ws.send('{"type":"connect"}');
			ws.send(JSON.stringify(Array.from({length: %d}, (_, i) => ({type: "publish", channel: "lobby", data: i}))));
		};
		return true;
	})()`, n))
	one.await(fmt.Sprintf(`document.querySelector("#received").textContent === "%d"`, n))
	if shown := evaluate[int](one, `document.querySelectorAll("#messages li").length`); shown != 1000 {
		t.Errorf("%d messages are in the page, want 1000", shown)
	}
	one.await(fmt.Sprintf(`document.querySelector("#messages li:last-child .data").textContent === "%d"`, n-1))
	one.await(`document.querySelector("#older").disabled`)
	one.chain()
	one.counters(n)
}
