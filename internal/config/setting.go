package config

import (
	"encoding"
	"fmt"
	"iter"
	"reflect"
	"strings"
)

// Setting is a value of a Config that is there once, not once for each app. It has a name in the file ("store.sync"), one in the environment
// ("SNO_STORE_SYNC") and one among the flags ("--store.sync"): the first is that of the struct's tags, the others follow from it.
type Setting struct {
	path  path
	field reflect.StructField
	index []int // of the field in a Config
}

// Settings are those there are, in the order of the struct.
func Settings() []Setting { return settingsOf(reflect.TypeFor[Config](), "", nil) }

func settingsOf(t reflect.Type, at path, index []int) (all []Setting) {
	for name, f := range keysOf(t) {
		s := Setting{at.key(name), f, append(index[:len(index):len(index)], f.Index...)}
		switch {
		case f.Type.Kind() == reflect.Struct:
			all = append(all, settingsOf(f.Type, s.path, s.index)...)
		case !isTables(f.Type):
			all = append(all, s)
		}
	}
	return all
}

// keysOf are the fields of a struct that have a key.
func keysOf(t reflect.Type) iter.Seq2[string, reflect.StructField] {
	return func(yield func(string, reflect.StructField) bool) {
		for f := range t.Fields() {
			if name := f.Tag.Get("toml"); name != "-" && !yield(name, f) {
				return
			}
		}
	}
}

// isTables says of a type that a file has it as [[tables]].
func isTables(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// Name is the setting's key in the file, with those of the tables around it. With "--" before it, it is the flag.
func (s Setting) Name() string { return string(s.path) }

// Env is the setting's name in the environment.
func (s Setting) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.Name(), ".", "_"))
}

// Doc says what it is.
func (s Setting) Doc() string { return s.field.Tag.Get("doc") }

// needsRestart says that a change shows after the next start only.
func (s Setting) needsRestart() bool { return s.field.Tag.Get("restart") == "yes" }

// Restart names the settings that differ between two configurations and can only change when the server starts again.
func Restart(from, to *Config) (names []string) {
	for _, s := range Settings() {
		if s.needsRestart() && !reflect.DeepEqual(s.in(from).Interface(), s.in(to).Interface()) {
			names = append(names, s.Name())
		}
	}
	return names
}

// Default is the value unless configured, as a variable or flag has it.
func (s Setting) Default() string {
	c := Default()
	return s.text(&c)
}

func (s Setting) isSecret() bool { return s.field.Type == reflect.TypeFor[Secret]() }

func (s Setting) in(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(s.index) }

func (s Setting) text(c *Config) string {
	v := s.in(c)
	if list, ok := v.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(v.Interface())
}

// raw makes of a variable's or flag's text what the TOML parser would have made of it in a file. A text that is none stays one, for the decoder to refuse.
func (s Setting) raw(text string) any {
	t := s.field.Type
	if t.Kind() == reflect.Slice {
		return list(text)
	}
	if _, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		return text
	}
	return scalarOf(t.Kind(), text)
}

// list cuts a text at its commas.
func list(text string) []any {
	all := []any{}
	for element := range strings.SplitSeq(text, ",") {
		if element = strings.TrimSpace(element); element != "" {
			all = append(all, element)
		}
	}
	return all
}

func scalarOf(k reflect.Kind, text string) any {
	var v any
	switch k {
	case reflect.Int:
		v = new(int64)
	case reflect.Bool:
		v = new(bool)
	default:
		return text
	}
	if _, err := fmt.Sscan(text, v); err != nil {
		return text
	}
	return reflect.ValueOf(v).Elem().Interface()
}
