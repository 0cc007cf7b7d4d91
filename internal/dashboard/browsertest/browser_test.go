package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience is how long the page has for anything that is waited for.
const patience = 30 * time.Second

// browser starts Chromium with an empty profile.
func browser(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path := "/usr/bin/chromium"
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("chromium"); err != nil && os.Getenv("CI") == "" {
			t.Skip("no chromium here: install Debian's package, or look at the page yourself")
		} else if err != nil {
			t.Fatal("no chromium, and CI is set: a machine that tests has one (apt-get install chromium)")
		}
	}
	flags = append(flags, chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// tab is one page of the playground.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open shows an address in a new tab.
func open(t *testing.T, browser context.Context, address string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	// A tab lives as long as the context of its first step, so that one has no deadline.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	b := &tab{t, ctx}
	b.do(chromedp.Navigate(address))
	b.await(`document.querySelector("#state")?.dataset.state === "connected"`)
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v\nthe page:\n%s", err, b.text())
	}
}

// await waits until a JavaScript expression is true.
func (b *tab) await(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	poll := chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience))
	if _, err := chromedp.Run(ctx, poll); err != nil {
		b.t.Fatalf("waiting for %s: %v\nthe page:\n%s", expression, err, b.text())
	}
}

func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// text is what the page says, for failures.
func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

func (b *tab) click(selector string) { b.t.Helper(); b.do(chromedp.Click(chromedp.CSS(selector))) }

// fill puts a value over what is there, as typing would.
func (b *tab) fill(selector, value string) {
	b.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.focus(); e.select(); document.execCommand("insertText", false, %s) || document.execCommand("delete"); })()`, selector, text)))
}

func (b *tab) publish(event, json string) {
	b.t.Helper()
	b.fill("#event", event)
	b.fill("#data", json)
	b.click("#publish")
}

// awaitState waits until the page says it is in a state.
func (b *tab) awaitState(state string) {
	b.t.Helper()
	b.await(fmt.Sprintf(`document.querySelector("#state").dataset.state === %q`, state))
}

// awaitData waits until the messages shown have exactly these data, in this order.
func (b *tab) awaitData(want ...string) {
	b.t.Helper()
	list, err := json.Marshal(want)
	if err != nil {
		b.t.Fatal(err)
	}
	b.await(fmt.Sprintf(`document.querySelectorAll("#messages [data-kind=message]").length >= %d`, len(want)))
	got := evaluate[[]string](b, `[...document.querySelectorAll("#messages [data-kind=message] .data")].map((e) => e.textContent)`)
	if shown, _ := json.Marshal(got); string(shown) != string(list) {
		b.t.Fatalf("the messages shown are\n%s\nwant\n%s", shown, list)
	}
}

// counters checks what the page has counted.
func (b *tab) counters(received int) {
	b.t.Helper()
	got := evaluate[string](b, `["received","gaps","resets","duplicates"].map((id) => id + " " + document.getElementById(id).textContent).join(", ")`)
	if want := fmt.Sprintf("received %d, gaps 0, resets 0, duplicates 0", received); got != want {
		b.t.Errorf("counters: %s; want %s", got, want)
	}
}

// chain checks that each message shown names the one before it.
func (b *tab) chain() {
	b.t.Helper()
	broken := evaluate[string](b, `[...document.querySelectorAll("#messages [data-offset]")].filter((e, i, all) => i > 0 && e.dataset.prev !== all[i-1].dataset.offset).map((e) => e.dataset.offset).join()`)
	if broken != "" {
		b.t.Errorf("messages that do not follow the one before: %s", broken)
	}
}

func (b *tab) awaitMembers(want ...string) {
	b.t.Helper()
	b.await(fmt.Sprintf(`[...document.querySelectorAll("#members [data-member]")].map((e) => e.dataset.member).join() === %q`, strings.Join(want, ",")))
}
