package config

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Print writes the configuration as a file would have it, with where each value comes from, and without secrets.
func (l *Loaded) Print(w io.Writer) error {
	p := &printer{sources: l.sources}
	for _, note := range l.Unused {
		p.line("# %s", note)
	}
	p.table("", reflect.ValueOf(&l.Config).Elem())
	_, err := io.WriteString(w, strings.TrimPrefix(p.out.String(), "\n"))
	return err
}

type printer struct {
	sources map[path]string
	out     strings.Builder
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(&p.out, format+"\n", args...) }

// table writes the values of a table first: what follows the header of another table would belong to that.
func (p *printer) table(at path, v reflect.Value) {
	var tables []reflect.StructField
	for name, f := range keysOf(v.Type()) {
		if f.Type.Kind() == reflect.Struct || f.Type.Kind() == reflect.Map || isTables(f.Type) {
			tables = append(tables, f)
		} else {
			p.value(at.key(name), name, v.FieldByIndex(f.Index))
		}
	}
	for _, f := range tables {
		where, value := at.key(f.Tag.Get("toml")), v.FieldByIndex(f.Index)
		switch f.Type.Kind() {
		case reflect.Struct:
			if value.IsZero() && strings.Contains(string(where), "[") {
				continue // as a value that was left out
			}
			p.line("\n[%s]", where.plain())
			p.table(where, value)
		case reflect.Map:
			p.mapping(where, value)
		default:
			for i := range value.Len() {
				p.line("\n[[%s]]", where.plain())
				p.table(where.element(i), value.Index(i))
			}
		}
	}
}

func (p *printer) mapping(at path, v reflect.Value) {
	if v.Len() > 0 {
		p.line("\n[%s]", at.plain())
	}
	for _, name := range slices.Sorted(maps.Keys(v.Interface().(map[string][]string))) {
		p.value(at.key(name), keyOf(name), v.MapIndex(reflect.ValueOf(name)))
	}
}

func (p *printer) value(at path, name string, v reflect.Value) {
	// In a list of tables, what was left out has no default of its own to show.
	if unset := v.IsZero() && strings.Contains(string(at), "["); unset && p.sources[at] == "" {
		return
	}
	p.line("%s = %s # %s", name, literal(v), cmp.Or(p.sources[at], "default"))
}

// literal is a value as TOML has it.
func literal(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer:
		return literal(v.Elem())
	case v.Type() == reflect.TypeFor[Addresses]() && v.Len() == 1:
		return literal(v.Index(0))
	case v.Kind() == reflect.Slice:
		all := make([]string, v.Len())
		for i := range all {
			all[i] = literal(v.Index(i))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case v.Kind() == reflect.Int || v.Kind() == reflect.Bool:
		return fmt.Sprint(v.Interface())
	default:
		return quote(fmt.Sprint(v.Interface()))
	}
}

var bare = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func keyOf(name string) string {
	if bare.MatchString(name) {
		return name
	}
	return quote(name)
}

// quote writes a basic string (TOML 1.0, "String"): of Go's escapes it has only those for Unicode characters.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
