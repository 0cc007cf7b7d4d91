package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFileBytes bounds a configuration file: far beyond any real one, so that a wrong path does not fill the memory.
const maxFileBytes = 16 << 20

// Load reads a file over the defaults and checks everything. What is wrong with its contents is a *InvalidError; the other errors are those of opening a file.
func Load(file string) (Config, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Config{}, err
	}
	if info.Size() > maxFileBytes || info.IsDir() {
		return Config{}, fmt.Errorf("%s is not a configuration file: it has to be a file of at most %d bytes", file, maxFileBytes)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Config{}, err
	}
	return parse(file, string(text))
}

func parse(file, text string) (Config, error) {
	problems := &InvalidError{File: file}
	var raw map[string]any
	if _, err := toml.Decode(text, &raw); err != nil {
		problems.List = append(problems.List, syntax(err, text))
		return Config{}, problems
	}
	c := Default()
	(&decoder{problems}).table("", raw, reflect.ValueOf(&c).Elem())
	// A value that could not be read keeps its default, so this adds no second problem with it.
	var more *InvalidError
	if errors.As(c.Validate(), &more) {
		problems.merge(more)
	}
	lines := lines(text)
	for i := range problems.List {
		problems.List[i].Line = lines.of(problems.List[i].Path)
	}
	if err := problems.orNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// merge adds the problems with what p has no problem with yet: a rule whose pattern is a number also has no pattern.
func (p *InvalidError) merge(more *InvalidError) {
	said := map[string]bool{}
	for _, q := range p.List {
		said[q.Path] = true
	}
	for _, q := range more.List {
		if !said[q.Path] {
			p.List = append(p.List, q)
		}
	}
}

// syntax is what the parser says of a text that is not TOML; but not where it may quote a secret.
func syntax(err error, text string) Problem {
	e, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return Problem{Text: "is not TOML"}
	}
	message := e.Message
	if all := strings.Split(text, "\n"); e.Position.Line <= len(all) && strings.Contains(all[max(e.Position.Line-1, 0)], "secret") {
		message = "the value of secret must be a string in quotes"
	}
	return Problem{Line: e.Position.Line, Text: "is not TOML: " + message}
}

// lineTable says on which line of a file a path stands.
type lineTable map[string]int

var (
	header = regexp.MustCompile(`^\s*(\[\[?)\s*([\w."'-]+)\s*\]`)
	assign = regexp.MustCompile(`^\s*([\w-]+|"[^"]*"|'[^']*')\s*=`)
)

// lines finds the headers and keys at the beginning of lines, which is where people write them. What it misses (keys within inline
// tables) gets the line of what is around it; it never fails.
func lines(text string) lineTable {
	t, table, elements := lineTable{}, path(""), map[path]int{}
	for i, line := range strings.Split(text, "\n") {
		if m := header.FindStringSubmatch(line); m != nil {
			table = ""
			names := strings.Split(m[2], ".")
			for j, name := range names {
				table = table.key(strings.Trim(name, `"'`))
				if j == len(names)-1 && m[1] == "[[" {
					elements[table]++
				}
				if n := elements[table]; n > 0 {
					table = table.element(n - 1)
				}
			}
			t.put(table, i+1)
		} else if m := assign.FindStringSubmatch(line); m != nil {
			t.put(table.key(strings.Trim(m[1], `"'`)), i+1)
		}
	}
	return t
}

func (t lineTable) put(at path, line int) {
	if _, twice := t[string(at)]; !twice {
		t[string(at)] = line
	}
}

// of returns the line of a path or of the nearest thing around it; 0: unknown.
func (t lineTable) of(at string) int {
	for at != "" {
		if line, ok := t[at]; ok {
			return line
		}
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	return 0
}
