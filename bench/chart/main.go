// Command chart puts the numbers of a comparison into a page and draws them.
//
//	go run ./bench/chart -report docs/performance.json -page docs/performance.md -svg docs/performance.svg
//
// What stands between the marks in the page is replaced by the report's tables.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/snoserver/sno/bench/report"
)

// The marks in a page.
const (
	begin = "<!-- numbers -->\n"
	end   = "<!-- end of numbers -->\n"
)

func main() {
	log.SetFlags(0)
	from := flag.String("report", "docs/performance.json", "the report, as bench/compare has written it")
	page := flag.String("page", "", "a page whose tables are to be replaced")
	svg := flag.String("svg", "", "where the chart goes")
	flag.Parse()
	if err := run(*from, *page, *svg); err != nil {
		log.Fatal(err)
	}
}

func run(from, page, svg string) error {
	r, err := report.Read(from)
	if err != nil {
		return err
	}
	if svg != "" {
		if err := os.WriteFile(svg, draw(r), 0o644); err != nil {
			return err
		}
	}
	if page == "" {
		return nil
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	filled, err := fill(string(text), r)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(filled), 0o644)
}

// fill puts the tables between the marks.
func fill(page string, r *report.Report) (string, error) {
	before, rest, found := strings.Cut(page, begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		return "", fmt.Errorf("the marks %q and %q are not there", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	var tables bytes.Buffer
	if err := r.Markdown(&tables); err != nil {
		return "", err
	}
	return before + begin + "\n" + tables.String() + "\n" + end + after, nil
}
