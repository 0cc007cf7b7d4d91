package clienttest

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/config"
)

// The programs of the page work as they stand there, beside a "sno dev".
func TestPrograms(t *testing.T) {
	p := serve(t, func(c *config.Config) { c.Apps = config.Dev(c.Data, secret).Apps })
	environment := append(os.Environ(), "SNO_URL="+p.URL, "SNO_KEY="+p.Key, "SNO_SECRET="+p.Secret)
	reader := p.node(t, filepath.Join(p.Docs, "subscribe.mjs"))
	reader.Env = environment
	out, err := reader.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = reader.Process.Kill() // it goes on for ever
		_ = reader.Wait()
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "subscribed" {
		t.Fatalf("it prints %q", lines.Text())
	}
	writer := p.node(t, filepath.Join(p.Docs, "publish.mjs"), "hello, ü")
	writer.Env = environment
	if out, err := writer.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !lines.Scan() || lines.Text() != "hello, ü" {
		t.Errorf("it prints %q", lines.Text())
	}
}

// Every program of the page has a test.
func TestEveryProgramIsTested(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(programs(t), "*.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	if got := strings.Join(names, " "); got != "publish.mjs replay.mjs subscribe.mjs" {
		t.Errorf("the page has %s", got)
	}
}
