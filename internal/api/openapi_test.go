package api_test

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	validation "github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/server"
)

// streaming are the paths whose answers do not end: PROTOCOL.md defines them, and protocoltest tests them.
var streaming = []string{"/v1/ws", "/v1/stream", "/v1/sse", "/v1/poll", "/v1/send"}

// document is spec/openapi.yaml.
type document struct {
	validator.Validator
	*v3.Document
	said map[string]bool // "operation status" that an exchange has had
}

func openDocument(t *testing.T) *document {
	t.Helper()
	text, err := os.ReadFile("../../spec/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	model, err := parsed.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(parsed, validation.WithStrictMode(), validation.WithStrictIgnorePaths("$.body.**.data", "$.body.**.data.**", "$.body.data.**", "$.body.**.headers.**", "$.body.headers.**", "$.body.channels.**"),
		validation.WithStrictIgnoredHeadersExtra("Date", "Origin", "X-Content-Type-Options", "Cache-Control"))
	if errs != nil {
		t.Fatal(errs)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		t.Fatal(explain(errs))
	}
	return &document{v, &model.Model, map[string]bool{}}
}

func explain(errs []*errors.ValidationError) string {
	var b strings.Builder
	for _, e := range errs {
		fmt.Fprintf(&b, "%s: %s\n", e.Message, e.Reason)
		for _, s := range e.SchemaValidationErrors {
			fmt.Fprintf(&b, "  %s: %s\n", s.FieldPath, s.Reason)
		}
	}
	return b.String()
}

// operations are those of the document as "GET /path", each with its statuses.
func (d *document) operations() map[string][]string {
	all := map[string][]string{}
	for path, item := range d.Paths.PathItems.FromOldest() {
		for method, o := range item.GetOperations().FromOldest() {
			statuses := []string{}
			for status := range o.Responses.Codes.FromOldest() {
				statuses = append(statuses, status)
			}
			if o.Responses.Default != nil {
				statuses = append(statuses, "default")
			}
			all[strings.ToUpper(method)+" "+path] = statuses
		}
	}
	return all
}

// serve starts the real server, whose app is shop, until the test ends.
func serve(t *testing.T) string {
	t.Helper()
	yes := true
	cfg := config.Default()
	cfg.Listen, cfg.Data, cfg.Drain = config.Addresses{"127.0.0.1:0"}, filepath.Join(t.TempDir(), "messages"), 0
	cfg.Apps = []config.App{{
		ID: "shop", Keys: []config.Key{{ID: "shop-1", Secret: api.Secret}},
		Rules:    []config.Rule{{Pattern: "public:*", Public: true, Presence: &yes}},
		Webhooks: []config.Webhook{{Name: "orders", URL: "https://webhooks.invalid/", Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}},
	}}
	s, err := server.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.URL()
}

// exchange is a request, and the status it must be answered with.
type exchange struct {
	method, path, body string
	headers            []string // "Name: value"; without Authorization the app key is sent
	status             int
	bad                bool  // the request is against the document on purpose
	fails              error // sent to a server whose log fails like this
}

func (e exchange) request(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), e.method, url+e.path, strings.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	if r.SetBasicAuth("shop-1", api.Secret); e.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range e.headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	return r
}

// check sends an exchange, and holds the request and its answer against the document. It returns the answer's body.
func (d *document) check(t *testing.T, url string, e exchange) []byte {
	t.Helper()
	if ok, errs := d.ValidateHttpRequestSync(e.request(t, url)); ok == e.bad {
		t.Errorf("the document on the request: valid %v\n%s", ok, explain(errs))
	}
	r := e.request(t, url)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != e.status {
		t.Errorf("status %d, want %d: %s", res.StatusCode, e.status, body)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	if ok, errs := d.ValidateHttpResponse(r, res); !ok {
		t.Errorf("the document on the answer %s\n%s", body, explain(errs))
	}
	d.remember(e)
	return body
}

// remember notes which operation has had this status.
func (d *document) remember(e exchange) {
	path, _, _ := strings.Cut(e.path, "?")
	for operation, statuses := range d.operations() {
		method, pattern, _ := strings.Cut(operation, " ")
		if method != e.method || !regexp.MustCompile("^"+regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(pattern, "[^/]+")+"$").MatchString(path) {
			continue
		}
		status := strconv.Itoa(e.status)
		if !slices.Contains(statuses, status) {
			status = "default"
		}
		d.said[operation+" "+status] = true
	}
}

// TestDocument drives a server through every operation and status of spec/openapi.yaml.
func TestDocument(t *testing.T) {
	d := openDocument(t)
	url := serve(t)
	broken, fails := api.OpenBroken(t)
	for _, e := range exchanges(t, url) {
		t.Run(fmt.Sprintf("%s %.60s %.40s %d", e.method, e.path, e.body, e.status), func(t *testing.T) {
			if e.fails == nil {
				d.check(t, url, e)
				return
			}
			fails(e.fails)
			d.check(t, broken, e)
		})
	}
	for operation, statuses := range d.operations() {
		if _, path, _ := strings.Cut(operation, " "); slices.Contains(streaming, path) {
			continue
		}
		for _, status := range statuses {
			if why := elsewhere[operation+" "+status]; why == "" && !d.said[operation+" "+status] {
				t.Errorf("no exchange has had %s of %s", status, operation)
			}
		}
	}
}

// TestDocumentHasEveryRoute compares the paths that the server's code names, and the methods that the server takes on each, with the document.
func TestDocumentHasEveryRoute(t *testing.T) {
	d := openDocument(t)
	url := serve(t)
	documented := d.operations()
	paths := append(api.Paths(), routed(t, "../server")...)
	for operation := range documented {
		_, path, _ := strings.Cut(operation, " ")
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			_, known := documented[method+" "+path]
			if serves := serves(t, url, method, path); serves != known {
				t.Errorf("%s %s: in the document %v, on the server %v", method, path, known, serves)
			}
		}
	}
}

// serves reports whether the server has a method of a path: whatever else it says of the request.
func serves(t *testing.T, url, method, path string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url+strings.NewReplacer("{", "", "}", "").Replace(path)+"?wait=0", nil) // a poll does not
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusMethodNotAllowed {
		return false
	}
	if res.StatusCode != http.StatusNotFound {
		return true
	}
	if res.Header.Get("Content-Type") != "application/problem+json" {
		return false // outside of /v1/
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return !bytes.Contains(text, []byte("there is nothing at"))
}

var pathOf = regexp.MustCompile(`^"(?:[A-Z]* )?(/[a-z][^"]*)"$`)

// routed are the paths that the code in a directory names: whatever string literal has the form of one, so that none can be routed without being compared.
func routed(t *testing.T, dir string) (paths []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok {
				if m := pathOf.FindStringSubmatch(literal.Value); m != nil {
					paths = append(paths, m[1])
				}
			}
			return true
		})
	}
	if !slices.Contains(paths, "/v1/ws") {
		t.Fatalf("found %q in %s", paths, dir)
	}
	// The first is not a path but where the API begins, whose paths are api.Paths. The other is of a protocol that others have specified.
	return slices.DeleteFunc(paths, func(p string) bool { return p == "/v1/" || p == "/app/{key}" })
}
