package config

import (
	"cmp"
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

// Input is where a configuration comes from. What is said twice counts as it is said last: in the file, the environment, a flag.
type Input struct {
	File  string            // empty: none
	Env   []string          // such as os.Environ(); what does not begin with SNO_ is not looked at
	Flags map[string]string // by Setting.Name
}

// Loaded is a configuration with where its values come from.
type Loaded struct {
	Config
	input   Input
	sources map[path]string // of what is not a default
	// Unused are variables that are set and do not count here.
	Unused []string
}

// Load puts what the input says over the defaults and checks everything. What is wrong with its contents is a *InvalidError; the other errors are
// those of opening the file.
func Load(in Input) (*Loaded, error) {
	text := ""
	if in.File != "" {
		var err error
		if text, err = readConfigFile(in.File); err != nil {
			return nil, err
		}
	}
	return load(in, text)
}

func readConfigFile(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFileBytes || info.IsDir() {
		return "", fmt.Errorf("%s is not a configuration file: it has to be a file of at most %d bytes", file, maxFileBytes)
	}
	text, err := os.ReadFile(file)
	return string(text), err
}

// load reads text, the contents of the input's file.
func load(in Input, text string) (*Loaded, error) {
	l := &Loaded{Config: Default(), input: in, sources: map[path]string{}}
	problems := &InvalidError{File: in.File}
	var raw map[string]any
	if _, err := toml.Decode(text, &raw); err != nil {
		problems.List = append(problems.List, syntax(err, text))
		return nil, problems
	}
	lines := lines(text)
	d := &decoder{problems: problems, found: func(at path) { l.sources[at] = lines.place(in.File, string(at)) }}
	d.table("", raw, reflect.ValueOf(&l.Config).Elem())
	readFiles(problems, l.Apps)
	l.override(problems)
	// A value that could not be read keeps its default, so this adds no second problem with it.
	var more *InvalidError
	if errors.As(l.Validate(), &more) {
		problems.merge(l.located(more))
	}
	for i := range problems.List {
		problems.List[i].Line = lines.of(problems.List[i].Path)
	}
	if err := problems.orNil(); err != nil {
		return nil, err
	}
	return l, nil
}

// override puts the environment and the flags over the file.
func (l *Loaded) override(p *InvalidError) {
	env := environmentOf(l.input.Env)
	env.checkNames(p)
	for _, s := range Settings() {
		value, source := env[s.Env()], s.Env()
		if s.isSecret() {
			value, source = env.secret(p, s.Env())
		}
		if flag, given := l.input.Flags[s.Name()]; given {
			value, source = flag, "--"+s.Name()
		} else if value == "" {
			continue
		}
		l.sources[s.path] = source
		own := &InvalidError{}
		(&decoder{problems: own, found: func(path) {}}).put(s.path, s.raw(value), s.in(&l.Config))
		p.List = append(p.List, l.located(own).List...)
	}
	l.appFrom(env, p)
}

// appFrom makes the app of the environment, where the file has none.
func (l *Loaded) appFrom(env environment, p *InvalidError) {
	if env[envKey] == "" && env[envApp] == "" {
		return
	}
	if len(l.Apps) > 0 {
		for _, name := range []string{envApp, envKey} {
			if env[name] != "" {
				l.Unused = append(l.Unused, name+" is for a configuration without apps; this one has them in its file")
			}
		}
		return
	}
	secret, source := env.secret(p, envSecret)
	l.Apps = []App{{ID: cmp.Or(env[envApp], defaultApp), Keys: []Key{{ID: env[envKey], Secret: Secret(secret)}}}}
	app := path("app").element(0)
	key := app.key("key").element(0)
	l.sources[app.key("id")], l.sources[key.key("id")], l.sources[key.key("secret")] = envApp, envKey, source
	if env[envApp] == "" {
		delete(l.sources, app.key("id"))
	}
}

// located adds to problems which variable or flag they come from.
func (l *Loaded) located(p *InvalidError) *InvalidError {
	for i, q := range p.List {
		at, _, _ := strings.Cut(q.Path, "[")
		source := cmp.Or(l.sources[path(q.Path)], l.sources[path(at)])
		if strings.HasPrefix(source, "--") || strings.HasPrefix(source, envPrefix) {
			p.List[i].Source = source
		}
	}
	return p
}

// merge adds the problems with what p has no problem with yet: a rule whose pattern is a number also has no pattern, and a secret whose file
// cannot be read is also empty.
func (p *InvalidError) merge(more *InvalidError) {
	said := map[string]bool{}
	for _, q := range p.List {
		said[cmp.Or(q.Source, q.Path)] = true
	}
	for _, q := range more.List {
		if !said[cmp.Or(q.Source, q.Path)] && !said[q.Path+"_file"] {
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

// place is a file with the line of a path, as an editor takes it.
func (t lineTable) place(file, at string) string {
	if line := t.of(at); line > 0 {
		return fmt.Sprintf("%s:%d", file, line)
	}
	return file
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
