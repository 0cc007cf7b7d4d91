package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"time"
)

//go:embed web
var web embed.FS

// Config is what the page is told about the server.
type Config struct {
	// App is the app that anonymous visitors connect to; empty where the server has only one.
	App string `json:"app,omitempty"`
	// Key is the id of the app key that the page's examples name; empty: they have a placeholder. There is no place for its secret.
	Key string `json:"key,omitempty"`
}

// asset is one file, ready to be served.
type asset struct {
	body []byte
	kind string // media type
	etag string
}

// Handler serves the page at /, what it loads below /playground/, and Config at /playground.json. Other paths are not found.
func Handler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	for name, a := range assets() {
		mux.Handle("GET /playground/"+name, a)
	}
	mux.Handle("GET /{$}", newAsset("index.html", read("index.html")))
	mux.Handle("GET /playground.json", newAsset("playground.json", settings(cfg)))
	return secured(mux)
}

// assets are the embedded files by name, except the page itself, which has one address only.
func assets() map[string]asset {
	files, err := fs.ReadDir(web, "web")
	if err != nil {
		panic(fmt.Sprintf("dashboard: the embedded directory is not there: %v", err)) // the binary is broken: it was built so
	}
	found := make(map[string]asset, len(files))
	for _, f := range files {
		if f.Name() != "index.html" {
			found[f.Name()] = newAsset(f.Name(), read(f.Name()))
		}
	}
	return found
}

func read(name string) []byte {
	body, err := web.ReadFile("web/" + name)
	if err != nil {
		panic(fmt.Sprintf("dashboard: an embedded file is not there: %v", err))
	}
	return body
}

func settings(cfg Config) []byte {
	body, err := json.Marshal(cfg)
	if err != nil {
		panic(fmt.Sprintf("dashboard: settings: %v", err)) // two strings always marshal
	}
	return body
}

// kinds are the media types of what the page is made of. Not left to the system's table: a machine without one would serve modules
// as text/plain, which browsers refuse.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json",
}

func newAsset(name string, body []byte) asset {
	sum := sha256.Sum256(body)
	kind := kinds[path.Ext(name)]
	if kind == "" {
		kind = mime.TypeByExtension(path.Ext(name))
	}
	return asset{body, kind, `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// ServeHTTP serves the file, or says that the browser's copy is the same.
func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.etag)
	h.Set("Cache-Control", "no-cache") // kept, but asked for: a page of the last version does not outlive an upgrade
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}

// secured adds what keeps the page to itself.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy(r.Host))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// plainHost is a host that can stand in a policy: a semicolon in it would begin another directive.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]+$`)

// policy allows the page its own files and its own server. The WebSocket is named as well: Safari before 15.4 does not count it as 'self'.
func policy(host string) string {
	connect := "'self'"
	if plainHost.MatchString(host) {
		connect += " ws://" + host + " wss://" + host
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src " + connect +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
