package dashboard

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string, header map[string]string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	Handler(Config{App: "shop", Key: "dev"}).ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := res.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	return body
}

func TestEveryFileHasItsTypeAndPolicy(t *testing.T) {
	want := map[string]string{"/": "text/html; charset=utf-8", "/playground.json": "application/json"}
	files, err := fs.ReadDir(web, "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() == "index.html" {
			continue
		}
		ext := f.Name()[strings.LastIndex(f.Name(), "."):]
		if kinds[ext] == "" {
			t.Errorf("%s: no media type for %s", f.Name(), ext)
		}
		want["/playground/"+f.Name()] = kinds[ext]
	}
	for target, kind := range want {
		res := get(t, "GET", target, nil)
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %d %q, want 200 %q", target, res.StatusCode, res.Header.Get("Content-Type"), kind)
		}
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self'; ") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", target, csp)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", target)
		}
	}
}

func TestAnUnchangedFileIsNotSentAgain(t *testing.T) {
	first := get(t, "GET", "/playground/app.js", nil)
	etag := first.Header.Get("ETag")
	if etag == "" {
		t.Fatal("no ETag")
	}
	if again := get(t, "GET", "/playground/app.js", map[string]string{"If-None-Match": etag}); again.StatusCode != http.StatusNotModified {
		t.Errorf("with the same ETag: %d, want 304", again.StatusCode)
	}
	if other := get(t, "GET", "/playground/app.js", map[string]string{"If-None-Match": `"0"`}); other.StatusCode != http.StatusOK {
		t.Errorf("with another ETag: %d, want 200", other.StatusCode)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	for _, target := range []string{"/nothing", "/playground/", "/playground/index.html", "/playground/../handler.go", "/web/app.js"} {
		if res := get(t, "GET", target, nil); res.StatusCode != http.StatusNotFound && res.StatusCode/100 != 3 {
			t.Errorf("%s: %d, want 404", target, res.StatusCode)
		}
	}
	if res := get(t, "POST", "/", nil); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /: %d, want 405", res.StatusCode)
	}
	if res := get(t, "HEAD", "/", nil); res.StatusCode != http.StatusOK || res.Header.Get("ETag") == "" {
		t.Errorf("HEAD /: %d %v", res.StatusCode, res.Header)
	}
}

func TestSettingsNameTheKey(t *testing.T) {
	if body := text(t, get(t, "GET", "/playground.json", nil)); body != `{"app":"shop","key":"dev"}` {
		t.Errorf("settings: %s", body)
	}
}

func TestAHostCannotAddToThePolicy(t *testing.T) {
	for host, want := range map[string]string{
		"localhost:8000":                 "connect-src 'self' ws://localhost:8000 wss://localhost:8000;",
		"[::1]:8000":                     "connect-src 'self' ws://[::1]:8000 wss://[::1]:8000;",
		"a;script-src 'unsafe-inline' *": "connect-src 'self';",
		"a *":                            "connect-src 'self';",
		"":                               "connect-src 'self';",
	} {
		if got := policy(host); !strings.Contains(got, want) || strings.Contains(got, "unsafe") {
			t.Errorf("%q: %s", host, got)
		}
	}
}

// The page's own rules: no foreign address, no markup from strings, no inline script or style, modules of a size that can be read.
func TestThePageKeepsItsRules(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|@ts-ignore|\son\w+="|style="|<script>|https?://[^/w]`)
	svgNamespace := "http://www.w3.org/2000/svg"
	err := fs.WalkDir(web, "web", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := web.ReadFile(name)
		if err != nil {
			return err
		}
		source := strings.ReplaceAll(string(body), svgNamespace, "")
		if found := forbidden.FindString(source); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		if lines := strings.Count(source, "\n"); lines > 400 {
			t.Errorf("%s has %d lines, at most 400", name, lines)
		}
		if strings.HasSuffix(name, ".js") && !strings.HasPrefix(source, "// @ts-check\n") {
			t.Errorf("%s is not type-checked", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
