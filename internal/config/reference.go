package config

import (
	_ "embed"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"text/template"

	"github.com/snoserver/sno/internal/hub"
)

//go:embed reference.md.tmpl
var referenceText string

// Reference is the page about all settings, in Markdown. docs/configuration.md is its output.
func Reference() (string, error) {
	t, err := template.New("reference").Funcs(template.FuncMap{"tables": tables, "keys": keysTable}).Parse(referenceText)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, nil)
	return b.String(), err
}

// ruleDefaults is hub.DefaultRule as a file would have it.
func ruleDefaults() Rule {
	r, keep := hub.DefaultRule, hub.DefaultRule.Keep
	age, bytes, presence := Duration(keep.Age), Size(keep.Bytes), !r.NoPresence
	return Rule{
		Store: wordOf(stores, keep.Store), Messages: &keep.Messages, Age: &age, Bytes: &bytes,
		Deliver: wordOf(delivers, r.Deliver), Presence: &presence, Publish: wordOf(publishers, r.Publish), Public: r.Public,
	}
}

// wordOf is the word for a value. Besides its word a default has the empty one.
func wordOf[V comparable](words map[string]V, value V) string {
	for word, v := range words {
		if v == value && word != "" {
			return word
		}
	}
	return ""
}

// tables are the settings of a table and those within it, each with a header. The name "" is what stands before all tables.
func tables(name string) (string, error) {
	v, doc, err := tableOf(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if name != "" {
		fmt.Fprintf(&b, "### `[%s]`\n\n%s\n\n", name, doc)
	}
	writeKeys(&b, v, true)
	for key, f := range keysOf(v.Type()) {
		if name != "" && f.Type.Kind() == reflect.Struct {
			inner, err := tables(name + "." + key)
			if err != nil {
				return "", err
			}
			b.WriteString("\n\n" + inner)
		}
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// keysTable are the keys of one of the tables that there are several of, such as "app.rule".
func keysTable(name string) (string, error) {
	v, _, err := tableOf(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	writeKeys(&b, v, false)
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// tableOf is the struct behind a name, with its defaults.
func tableOf(name string) (reflect.Value, string, error) {
	v, doc := reflect.ValueOf(Default()), ""
	for key := range strings.SplitSeq(name, ".") {
		found := name == ""
		for k, f := range keysOf(v.Type()) {
			if k == key {
				v, doc, found = v.FieldByIndex(f.Index), f.Tag.Get("doc"), true
				break
			}
		}
		if !found {
			return v, "", fmt.Errorf("there is no table %q", name)
		}
		if v.Type() == reflect.TypeFor[[]Rule]() {
			v = reflect.ValueOf(ruleDefaults())
		} else if isTables(v.Type()) {
			v = reflect.New(v.Type().Elem()).Elem()
		}
	}
	return v, doc, nil
}

func writeKeys(b *strings.Builder, v reflect.Value, defaults bool) {
	b.WriteString("| key | default | |\n|---|---|---|\n")
	for name, f := range keysOf(v.Type()) {
		if f.Type.Kind() == reflect.Struct || f.Type.Kind() == reflect.Map || isTables(f.Type) {
			continue
		}
		value := ""
		if v := v.FieldByIndex(f.Index); defaults || !v.IsZero() {
			value = "`" + literal(v) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, value, describe(f))
	}
}

var quoted = regexp.MustCompile(`"[^"]*"`)

// describe is what the tags say of a key.
func describe(f reflect.StructField) string {
	doc := strings.ReplaceAll(quoted.ReplaceAllString(f.Tag.Get("doc"), "`$0`"), "|", "\\|")
	if words := f.Tag.Get("values"); words != "" {
		doc += " One of `" + strings.ReplaceAll(words, "|", "`, `") + "`."
	}
	if low := f.Tag.Get("min"); low != "" {
		doc += fmt.Sprintf(" From %s to %s.", low, f.Tag.Get("max"))
	}
	if f.Tag.Get("restart") == "yes" {
		doc += " ↻"
	}
	return doc
}
