package main

import (
	"bytes"
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/snoserver/sno/bench/report"
)

// panel is one group of bars.
type panel struct {
	title         string
	table, column string
}

var panels = []panel{
	{"deliveries per processor second, 1 publish in flight", "fanout", "fanout1"},
	{"deliveries per processor second, 16 in flight", "fanout", "fanout16"},
	{"bytes of memory per idle connection (less is better)", "idle", "idle"},
}

// Sizes in pixels.
const (
	width   = 720
	left    = 110 // for the servers' names
	right   = 90  // for the numbers
	line    = 20
	heading = 34
	margin  = 14
)

// draw makes an SVG picture: a bar a server, on a linear scale that begins at nothing.
func draw(r *report.Report) []byte {
	var b bytes.Buffer
	y := margin
	for _, p := range panels {
		y = p.draw(&b, r, y)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" class="small">%s, %s</text>`+"\n", margin, y+14, r.Date, html.EscapeString(r.Machine))
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="How this server compares with others">
<style>text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}.small{font-size:11px;fill:#666}.own{fill:#1f6feb}.other{fill:#9aa4b2}.floor{fill:#d5dae1}</style>
<rect width="100%%" height="100%%" fill="#fff"/>
`, width, y+margin+12, width, y+margin+12)
	return append([]byte(head), append(b.Bytes(), "</svg>\n"...)...)
}

func (p panel) draw(b *bytes.Buffer, r *report.Report, y int) int {
	t := r.Table(p.table)
	if t == nil || len(t.Rows) == 0 {
		t = r.Table("fanout") // the small set measures memory there
	}
	if t == nil || !slices.ContainsFunc(t.Columns, func(c report.Column) bool { return c.Name == p.column }) {
		return y
	}
	most, unit := 0.0, ""
	for _, row := range t.Rows {
		most = max(most, t.Median(row.Server, p.column))
	}
	for _, c := range t.Columns {
		if c.Name == p.column {
			unit = c.Unit
		}
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" class="title">%s</text>`+"\n", margin, y+18, p.title)
	y += heading
	for _, row := range t.Rows {
		value := t.Median(row.Server, p.column)
		long := 1.0
		if most > 0 {
			long = max(1, value/most*(width-left-right))
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" class="%s"/><text x="%.1f" y="%d">%s</text>`+"\n",
			left-8, y+13, html.EscapeString(row.Server), left, y+2, long, line-6, class(row.Server), left+long+6, y+13, report.Number(value, unit))
		y += line
	}
	return y + margin
}

func class(server string) string {
	switch {
	case server == "sno":
		return "own"
	case strings.HasPrefix(server, "floor"):
		return "floor"
	}
	return "other"
}
