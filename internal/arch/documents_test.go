package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

// TestCodeTable compares the table of codes in the protocol's document with the one in the code.
func TestCodeTable(t *testing.T) {
	doc := read(t, "spec/PROTOCOL.md")
	for _, c := range hub.Codes {
		row := fmt.Sprintf("| %d | `%s` | %s | %s |", c.Code, c.Name, c.Code.Reconnect(), c.Meaning)
		if !strings.Contains(doc, row+"\n") {
			t.Errorf("spec/PROTOCOL.md lacks the row %s", row)
		}
	}
	if rows := regexp.MustCompile(`(?m)^\| 4\d\d\d \|`).FindAllString(doc, -1); len(rows) != len(hub.Codes) {
		t.Errorf("spec/PROTOCOL.md has %d codes, the code %d", len(rows), len(hub.Codes))
	}
}

// symbol is a Go name in a document: `hub.Publish`, `local.Open`.
var symbol = regexp.MustCompile("`([a-z]+)\\.([A-Z][A-Za-z]*)(?:\\.([A-Z][A-Za-z]*))?(?:\\(\\))?`")

// TestSymbols checks that every Go symbol that ARCHITECTURE.md names exists in a package of that name.
func TestSymbols(t *testing.T) {
	sources := map[string]string{}
	for path := range imports(t) {
		files, err := filepath.Glob(filepath.Join(root, path, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			sources[filepath.Base(path)] += read(t, strings.TrimPrefix(filepath.ToSlash(f), root+"/"))
		}
	}
	named := symbol.FindAllStringSubmatch(read(t, "ARCHITECTURE.md"), -1)
	if len(named) < 10 {
		t.Errorf("ARCHITECTURE.md names %d symbols: is the pattern still right?", len(named))
	}
	for _, m := range named {
		for _, name := range m[2:] {
			if name != "" && !regexp.MustCompile(`\b`+name+`\b`).MatchString(sources[m[1]]) {
				t.Errorf("ARCHITECTURE.md names %s, which does not exist", m[0])
			}
		}
	}
}

// TestLinks checks that the files that documents link to exist.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
	docs, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "spec/PROTOCOL.md"} {
		docs = append(docs, filepath.Join(root, f))
	}
	for _, doc := range docs {
		rel := strings.TrimPrefix(filepath.ToSlash(doc), root+"/")
		for _, m := range link.FindAllStringSubmatch(read(t, rel), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", rel, m[1])
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
