package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Markdown writes it as tables. Beside each number stand its ratios to the rival and to the floor.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s. Medians; in brackets the ratio to %s and to %s, the medians of the ratios within a round.\n", r.Date, r.Machine, Rival, Floor)
	for _, t := range r.Tables {
		if len(t.Rows) > 0 {
			t.markdown(&b)
		}
	}
	if len(r.Servers) > 0 {
		b.WriteString("\n")
		for _, s := range r.Servers {
			fmt.Fprintf(&b, "- **%s**: %s\n", s.Name, s.About)
		}
	}
	if len(r.Absent) > 0 {
		b.WriteString("\nNot measured:\n\n")
		for _, a := range r.Absent {
			fmt.Fprintf(&b, "- %s (%s): %s\n", a.Server, a.Table, strings.Join(strings.Fields(a.Reason), " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n**%s**\n\n| server |", t.Title)
	for _, c := range t.Columns {
		fmt.Fprintf(b, " %s |", c.Title)
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(t.Columns)) + "\n")
	for _, row := range t.Rows {
		fmt.Fprintf(b, "| %s |", row.Server)
		for _, c := range t.Columns {
			fmt.Fprintf(b, " %s |", t.cell(row.Server, c))
		}
		b.WriteString("\n")
	}
}

func (t *Table) cell(server string, c Column) string {
	text := Number(t.Median(server, c.Name), c.Unit)
	if c.Plain {
		return text
	}
	var ratios []string
	for _, other := range []string{Rival, Floor} {
		if x := t.Ratio(server, other, c.Name); x > 0 && server != other {
			ratios = append(ratios, ratio(x))
		} else {
			ratios = append(ratios, "–")
		}
	}
	if ratios[0] == "–" && ratios[1] == "–" {
		return text
	}
	return fmt.Sprintf("%s (%s)", text, strings.Join(ratios, ", "))
}

func ratio(x float64) string {
	if x >= 10 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// Number writes a number for people: thousands as k, microseconds as ms where there are many.
func Number(x float64, unit string) string {
	switch {
	case unit == "µs" && x >= 10000:
		return fmt.Sprintf("%.0f ms", x/1000)
	case unit == "µs" && x >= 1000:
		return fmt.Sprintf("%.1f ms", x/1000)
	case unit == "µs":
		return fmt.Sprintf("%.0f µs", x)
	case unit == "bytes":
		return thousands(int64(x))
	case x >= 100000:
		return thousands(int64(x/1000)) + "k"
	case x >= 1000:
		return fmt.Sprintf("%.1fk", x/1000)
	}
	return fmt.Sprintf("%.0f", x)
}

func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
