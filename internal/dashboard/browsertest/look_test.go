package browsertest

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "a directory to write pictures of the page to")

// TestLook shows the page in light and dark and as wide as a phone. That it is good to look at is for people to say, with
// -screenshots; that nothing is cut off at the side, and everything has a name, is checked.
func TestLook(t *testing.T) {
	s, b := startServer(t), browser(t)
	one := open(t, b, s.url()+"/#demo")
	one.look("light", "empty", 1280, 860)
	one.fill("#name", "Ann")
	one.click("#enter")
	one.awaitMembers("Ann")
	for _, data := range []string{`{"text":"hello"}`, `{ "number": 1.0e2, "list": [1,  2] }`, `"<b>no markup</b>"`, `null`,
		`{"a":["a longer one that has to wrap somewhere, because it does not fit on one line of a telephone, or even of a much larger screen", 12345678901234567890]}`} {
		one.publish("said", data)
	}
	one.await(`document.querySelectorAll("#messages li").length === 5`)
	one.click("#go-offline")
	one.awaitState("disconnected")
	one.look("light", "offline", 1280, 860)
	one.click("#go-offline")
	one.await(`document.querySelector("#messages [data-kind=resumed]") !== null`)
	one.look("light", "desktop", 1280, 860)
	one.look("dark", "desktop", 1280, 860)
	one.look("dark", "phone", 390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch)
	one.look("light", "phone", 390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch)
	one.do(chromedp.Evaluate[chromedp.Void]("void scrollTo(0, 1000)"))
	one.look("light", "phone-below", 390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch)
	one.look("light", "small-phone", 320, 600, chromedp.EmulateMobile, chromedp.EmulateTouch)
}

// look takes a picture, and checks what can be checked.
func (b *tab) look(scheme, name string, width, height int64, opts ...chromedp.EmulateViewportOption) {
	b.t.Helper()
	media := chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
	b.do(chromedp.EmulateViewport(width, height, opts...), media)
	if wide := evaluate[int](b, "document.documentElement.scrollWidth"); int64(wide) > width {
		b.t.Errorf("%s: the page is %d pixels wide on a screen of %d", name, wide, width)
	}
	nameless := evaluate[string](b, `[...document.querySelectorAll("input, textarea, button, pre[tabindex]")].filter((e) =>
		!(e.labels?.length || e.getAttribute("aria-label") || (e.tagName === "BUTTON" && e.textContent.trim()))).map((e) => e.outerHTML).join("\n")`)
	if nameless != "" {
		b.t.Errorf("%s: without a name for those who cannot see it:\n%s", name, nameless)
	}
	if *screenshots == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(*screenshots, name+"-"+scheme+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
