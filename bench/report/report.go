// Package report is what a comparison of servers has found: as JSON for programs, as Markdown for people.
package report

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
)

// Report is all of it.
type Report struct {
	Date    string   `json:"date"`
	Machine string   `json:"machine"`
	Set     string   `json:"set"`
	Tables  []*Table `json:"tables"`
	Servers []Server `json:"servers"`
	Absent  []Absent `json:"absent,omitempty"` // what was not measured, and why
}

// Server is one that was measured.
type Server struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// Absent is a server that could not be measured.
type Absent struct {
	Server string `json:"server"`
	Table  string `json:"table"`
	Reason string `json:"reason"`
}

// Table is one job: the same done to several servers in turn.
type Table struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Columns []Column `json:"columns"`
	Rows    []*Row   `json:"rows"`
}

// Column is something that was measured.
type Column struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Unit  string `json:"unit"` // "", "bytes", "µs"
	Less  bool   `json:"less,omitempty"`
	Plain bool   `json:"plain,omitempty"` // ratios would say nothing
}

// Row is one server's numbers: for each column the values of all rounds. A round in which it could not be measured has none.
type Row struct {
	Server string               `json:"server"`
	Values map[string][]float64 `json:"values"`
	Rounds []int                `json:"rounds"` // that the values are of
}

// The servers that all are compared with.
const (
	Rival = "uws"
	Floor = "floor-join"
)

// Add adds what a round has found of a server.
func (t *Table) Add(server string, round int, values map[string]float64) {
	r := t.Row(server)
	if r == nil {
		r = &Row{Server: server, Values: map[string][]float64{}}
		t.Rows = append(t.Rows, r)
	}
	r.Rounds = append(r.Rounds, round)
	for _, c := range t.Columns {
		r.Values[c.Name] = append(r.Values[c.Name], values[c.Name])
	}
}

// Row is a server's row; nil if there is none.
func (t *Table) Row(server string) *Row {
	i := slices.IndexFunc(t.Rows, func(r *Row) bool { return r.Server == server })
	if i < 0 {
		return nil
	}
	return t.Rows[i]
}

// Median is the middle of a row's values in a column; 0 if there are none.
func (t *Table) Median(server, column string) float64 {
	if r := t.Row(server); r != nil {
		return median(r.Values[column])
	}
	return 0
}

// Ratio is how many times as much one server has in a column as another: the median over the rounds in which both were measured, since what else goes on on a machine changes from round to round.
// 0: there is no such round.
func (t *Table) Ratio(server, other, column string) float64 {
	a, b := t.Row(server), t.Row(other)
	if a == nil || b == nil {
		return 0
	}
	var ratios []float64
	for i, round := range a.Rounds {
		if j := slices.Index(b.Rounds, round); j >= 0 && b.Values[column][j] > 0 {
			ratios = append(ratios, a.Values[column][i]/b.Values[column][j])
		}
	}
	return median(ratios)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare)
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// Table is the table of a name; nil if there is none.
func (r *Report) Table(name string) *Table {
	for _, t := range r.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Write writes it to a file as JSON.
func (r *Report) Write(file string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// Read reads what Write has written.
func Read(file string) (*Report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	return r, json.Unmarshal(text, r)
}
