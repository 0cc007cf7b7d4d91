package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// path is where a value stands: keys, and the numbers of the elements of arrays, counted from 1: "app[2].rule[1].age".
type path string

func (p path) key(name string) path {
	if p == "" {
		return path(name)
	}
	return p + "." + path(name)
}

func (p path) element(i int) path { return p + path("["+strconv.Itoa(i+1)+"]") }

// plain is p without the numbers, as a header of a file has it.
func (p path) plain() string { return numbers.ReplaceAllString(string(p), "") }

var numbers = regexp.MustCompile(`\[\d+\]`)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Path   string // such as "app[2].rule[1].age"; elements are counted from 1
	Source string // the variable or flag that the value comes from, such as "SNO_LISTEN" or "--listen"; empty: the file
	Line   int    // in the file; 0: unknown
	Text   string
}

// InvalidError is all things that are wrong with a configuration, at least one. It is what Load and Validate return.
type InvalidError struct {
	File string // empty: not from a file
	List []Problem
}

// Error gives a line for each problem, such as: sno.toml:12: app[1].rule[2].age is "5"; it must be a duration.
func (p *InvalidError) Error() string {
	lines := make([]string, len(p.List))
	for i, q := range p.List {
		lines[i] = p.where(q) + q.Text
	}
	return strings.Join(lines, "\n")
}

func (p *InvalidError) where(q Problem) string {
	if q.Source != "" {
		return q.Source + " "
	}
	where := ""
	switch {
	case p.File != "" && q.Line > 0:
		where = fmt.Sprintf("%s:%d: ", p.File, q.Line)
	case p.File != "":
		where = p.File + ": "
	}
	if q.Path != "" {
		where += q.Path + " "
	}
	return where
}

func (p *InvalidError) add(at path, format string, args ...any) {
	p.List = append(p.List, Problem{Path: string(at), Text: fmt.Sprintf(format, args...)})
}

// addFrom adds a problem with a variable or flag that is no value of the configuration.
func (p *InvalidError) addFrom(source, format string, args ...any) {
	p.List = append(p.List, Problem{Source: source, Text: fmt.Sprintf(format, args...)})
}

// orNil returns p as an error if there is any problem, in the order of the file; what is from elsewhere comes first.
func (p *InvalidError) orNil() error {
	if len(p.List) == 0 {
		return nil
	}
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Source, b.Source))
	})
	return p
}
