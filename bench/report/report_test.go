package report

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func example() *Report {
	t := &Table{Name: "fanout", Title: "Fan-out", Columns: []Column{{Name: "rate", Title: "a second"}, {Name: "lost", Title: "lost", Plain: true}}}
	for round, v := range [][3]float64{{100_000, 200_000, 50_000}, {10_000, 40_000, 10_000}, {90_000, 150_000, 45_000}} {
		t.Add(Rival, round, map[string]float64{"rate": v[0]})
		if round != 1 { // it was not measured then
			t.Add(Floor, round, map[string]float64{"rate": v[1]})
		}
		t.Add("sno", round, map[string]float64{"rate": v[2], "lost": 7})
	}
	return &Report{
		Date: "2026-01-01", Machine: "a machine", Tables: []*Table{t}, Servers: []Server{{"sno", "this one"}},
		Absent: []Absent{{"nchan", "fanout", "there is\n no nginx"}},
	}
}

// A ratio is taken within a round: what slows a machine down for a while slows both.
func TestRatios(t *testing.T) {
	r := example().Table("fanout")
	if m := r.Median("sno", "rate"); m != 45_000 {
		t.Errorf("median %v", m)
	}
	if x := r.Ratio("sno", Rival, "rate"); x != 0.5 {
		t.Errorf("ratio %v: 0.5, 1 and 0.5 have the median 0.5", x)
	}
	if x := r.Ratio("sno", Floor, "rate"); x < 0.274 || x > 0.276 {
		t.Errorf("ratio %v: 0.25 and 0.3 of the rounds in which both were measured have the median 0.275", x)
	}
	if r.Ratio("sno", "nobody", "rate") != 0 || r.Ratio("sno", Rival, "lost") != 0 || r.Median("nobody", "rate") != 0 {
		t.Error("there is a ratio to nothing")
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := example().Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| server | a second | lost |\n|---|--:|--:|\n", "| sno | 45.0k (0.50, 0.28) | 7 |\n", "| uws | 90.0k (–, 0.55) | 0 |\n", "| floor-join | 175k (1.83, –) | 0 |\n",
		"- **sno**: this one\n", "- nchan (fanout): there is no nginx\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		x          float64
		unit, want string
	}{
		{0, "", "0"}, {999, "", "999"}, {1500, "", "1.5k"}, {152_345, "", "152k"}, {1_552_345, "", "1,552k"},
		{38, "bytes", "38"}, {50_510, "bytes", "50,510"}, {-1234, "bytes", "-1,234"}, {150, "µs", "150 µs"}, {1300, "µs", "1.3 ms"}, {92_000, "µs", "92 ms"},
	} {
		if got := Number(c.x, c.unit); got != c.want {
			t.Errorf("%v %s is %q, not %q", c.x, c.unit, got, c.want)
		}
	}
}

func TestReportIsReadAsWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	want := example()
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}
