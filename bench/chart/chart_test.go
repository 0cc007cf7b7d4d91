package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snoserver/sno/bench/report"
)

func example() *report.Report {
	fan := &report.Table{Name: "fanout", Title: "Fan-out", Columns: []report.Column{{Name: "fanout1"}, {Name: "fanout16"}, {Name: "idle", Unit: "bytes"}}}
	fan.Add("sno", 0, map[string]float64{"fanout1": 100_000, "fanout16": 2_000_000, "idle": 1200})
	fan.Add("<&>", 0, map[string]float64{"fanout1": 50_000, "fanout16": 1_000_000})
	return &report.Report{Date: "2026-01-01", Machine: "a & b", Tables: []*report.Table{fan}}
}

// The chart is well-formed, and the best bar is as long as there is room.
func TestDraw(t *testing.T) {
	picture := string(draw(example()))
	for d := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, picture)
		}
	}
	for want, n := range map[string]int{`class="own"`: 3, `width="520.0"`: 3, `width="260.0"`: 2, `>2,000k<`: 1, `>1,200<`: 1, "&lt;&amp;&gt;": 3} {
		if got := strings.Count(picture, want); got != n {
			t.Errorf("%s stands there %d times, not %d\n%s", want, got, n, picture)
		}
	}
}

// A page is filled again and again, and nothing else of it changes.
func TestFill(t *testing.T) {
	dir := t.TempDir()
	from, page := filepath.Join(dir, "report.json"), filepath.Join(dir, "page.md")
	if err := example().Write(from); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, []byte("# Title\n\n"+begin+"old\n"+end+"\nThe end.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := run(from, page, filepath.Join(dir, "chart.svg")); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	text := string(got)
	if err != nil || !strings.HasPrefix(text, "# Title\n\n"+begin) || !strings.HasSuffix(text, end+"\nThe end.\n") || strings.Contains(text, "old") || strings.Count(text, "| sno |") != 1 {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := fill("a page without marks", example()); err == nil {
		t.Error("a page without marks is filled")
	}
}
