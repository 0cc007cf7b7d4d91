package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/snoserver/sno/internal/nearest"
)

// decoder puts what the TOML parser made of a file into a Config. The parser's own decoder says neither where an unknown key stands nor what a
// value should be; both are known here.
type decoder struct {
	problems *InvalidError
	found    func(path) // is told where values stand
}

// put stores raw, a value of the parser, in v.
func (d *decoder) put(at path, raw any, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		d.found(at)
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(at, raw, t)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.table(at, raw, v)
	case reflect.Slice:
		d.array(at, raw, v)
	case reflect.Map:
		d.mapping(at, raw, v)
	default:
		d.scalar(at, raw, v)
	}
}

func (d *decoder) table(at path, raw any, v reflect.Value) {
	table, ok := raw.(map[string]any)
	if !ok {
		d.bad(at, raw, v, "a table ["+at.plain()+"]")
		return
	}
	fields := map[string]reflect.Value{}
	for name, f := range keysOf(v.Type()) {
		fields[name] = v.FieldByIndex(f.Index)
	}
	for name, value := range table {
		if field, known := fields[name]; known {
			d.put(at.key(name), value, field)
		} else {
			d.unknown(at.key(name), name, slices.Sorted(maps.Keys(fields)))
		}
	}
}

func (d *decoder) unknown(at path, name string, known []string) {
	if meant := nearest.Name(name, known); meant != "" {
		d.problems.add(at, "does not exist; did you mean %q?", meant)
		return
	}
	d.problems.add(at, "does not exist; the keys here are %s", strings.Join(known, ", "))
}

func (d *decoder) array(at path, raw any, v reflect.Value) {
	if one, ok := raw.(string); ok && v.Type() == reflect.TypeFor[Addresses]() {
		raw = []any{one}
	}
	elements := reflect.ValueOf(raw)
	if !elements.IsValid() || elements.Kind() != reflect.Slice {
		what := "an array such as [\"a\", \"b\"]"
		if v.Type() == reflect.TypeFor[Addresses]() {
			what = "an address in quotes, or an array of them"
		}
		if v.Type().Elem().Kind() == reflect.Struct {
			what = "tables [[" + at.plain() + "]]"
		}
		d.bad(at, raw, v, what)
		return
	}
	v.SetZero() // an empty array is the same as none
	if elements.Len() > 0 {
		v.Set(reflect.MakeSlice(v.Type(), elements.Len(), elements.Len()))
	}
	for i := range elements.Len() {
		d.put(at.element(i), elements.Index(i).Interface(), v.Index(i))
	}
}

func (d *decoder) mapping(at path, raw any, v reflect.Value) {
	table, ok := raw.(map[string]any)
	if !ok {
		d.bad(at, raw, v, "a table ["+at.plain()+"]")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for name, value := range table {
		element := reflect.New(v.Type().Elem()).Elem()
		d.put(at.key(name), value, element)
		v.SetMapIndex(reflect.ValueOf(name), element)
	}
}

// text reads a duration or a size: from a string, or from a whole number, which a duration takes only if it is 0.
func (d *decoder) text(at path, raw any, t encoding.TextUnmarshaler) {
	var s string
	switch raw := raw.(type) {
	case string:
		s = raw
	case int64:
		s = strconv.FormatInt(raw, 10)
	}
	if err := t.UnmarshalText([]byte(s)); err != nil {
		d.problems.add(at, "is %s; %s", show(raw), err)
	}
}

func (d *decoder) scalar(at path, raw any, v reflect.Value) {
	value := reflect.ValueOf(raw)
	switch {
	case v.Kind() == reflect.String && value.Kind() == reflect.String,
		v.Kind() == reflect.Int && value.Kind() == reflect.Int64,
		v.Kind() == reflect.Bool && value.Kind() == reflect.Bool:
		v.Set(value.Convert(v.Type()))
	default:
		d.bad(at, raw, v, kinds[v.Kind()])
	}
}

// bad says what v must be; and what was found, unless that may be a secret.
func (d *decoder) bad(at path, raw any, v reflect.Value, what string) {
	switch v.Type() {
	case reflect.TypeFor[Secret](), reflect.TypeFor[Key](), reflect.TypeFor[[]Key](), reflect.TypeFor[Webhook](), reflect.TypeFor[[]Webhook]():
		d.problems.add(at, "must be %s", what)
	default:
		d.problems.add(at, "is %s; it must be %s", show(raw), what)
	}
}

var kinds = map[reflect.Kind]string{
	reflect.String: "a string in quotes",
	reflect.Int:    "a whole number",
	reflect.Bool:   "true or false",
}

// show is a value of a file for an error text.
func show(raw any) string {
	switch raw := raw.(type) {
	case string:
		if len(raw) > 64 {
			raw = strings.ToValidUTF8(raw[:64], "") + "…"
		}
		return fmt.Sprintf("%q", raw)
	case map[string]any, []map[string]any:
		return "a table"
	case []any:
		return "an array"
	default:
		return fmt.Sprint(raw)
	}
}
