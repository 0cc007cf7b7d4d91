package config

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

// Bounds of what the tags do not say.
const (
	minSecretBytes = 32 // RFC 7518 §3.2: a key as long as the hash, or longer
	maxSecretBytes = 1024
	maxPattern     = 1024
)

// Validate checks everything that can be checked without the machine. The error is a *InvalidError.
func (c *Config) Validate() error {
	p := &InvalidError{}
	checkTags(p, "", reflect.ValueOf(c).Elem())
	if len(c.Listen) == 0 {
		p.add("listen", "is empty; it must have at least one address, such as \"127.0.0.1:7878\"")
	}
	checkAddresses(p, "listen", c.Listen)
	if c.Admin.Listen != "" {
		checkAddresses(p, "admin.listen", Addresses{c.Admin.Listen})
	}
	if c.Data == "" {
		p.add("data", "is empty; it must be a directory")
	}
	for i, origin := range c.Origins {
		if !validOrigin(origin) {
			p.add(path("origins").element(i), "is %q; it must be like \"https://example.com\", \"https://*.example.com\" or \"http://localhost:*\" (no path), or \"*\"", origin)
		}
	}
	checkApps(p, c.Apps)
	return p.orNil()
}

// checkTags checks the bounds and the values that the tags of a struct and all beneath it name.
func checkTags(p *InvalidError, at path, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		value, where := v.Field(i), at.key(f.Tag.Get("toml"))
		if value.Kind() == reflect.Pointer {
			if value.IsNil() {
				continue
			}
			value = value.Elem()
		}
		switch value.Kind() {
		case reflect.Struct:
			checkTags(p, where, value)
		case reflect.Slice:
			for i := range value.Len() {
				if e := value.Index(i); e.Kind() == reflect.Struct {
					checkTags(p, where.element(i), e)
				}
			}
		default:
			checkValue(p, where, f, value)
		}
	}
}

func checkValue(p *InvalidError, at path, f reflect.StructField, value reflect.Value) {
	if list, ok := f.Tag.Lookup("values"); ok {
		allowed := strings.Split(list, "|")
		// Within a list of tables an empty string is a key that was left out.
		if unset := value.String() == "" && strings.Contains(string(at), "["); !unset && !slices.Contains(allowed, value.String()) {
			p.add(at, "is %q; it must be %s", value.String(), orList(allowed))
		}
	}
	if low, ok := f.Tag.Lookup("min"); ok {
		high := f.Tag.Get("max")
		if n := value.Int(); n < number(low, value.Type()) || n > number(high, value.Type()) {
			p.add(at, "is %v; it must be from %s to %s", value.Interface(), low, high)
		}
	}
}

// orList writes "a, b or c".
func orList(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// number reads a bound in a tag. A tag that cannot be read is a mistake in this package, which the tests find.
func number(s string, t reflect.Type) int64 {
	v := reflect.New(t)
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(s)); err != nil {
			panic(fmt.Sprintf("tag %q: %v", s, err))
		}
		return v.Elem().Int()
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("tag %q: %v", s, err))
	}
	return n
}

func checkAddresses(p *InvalidError, at path, all Addresses) {
	for i, a := range all {
		where := at
		if len(all) > 1 {
			where = at.element(i)
		}
		if err := checkListen(a); err != nil {
			p.add(where, "is %q; %s", a, err)
		}
	}
}

func checkListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 || strings.ContainsAny(host, " /") {
		return errors.New("it must be host:port, such as \"127.0.0.1:7878\" or \":7878\" for every address")
	}
	return nil
}

// validOrigin takes only such globs as match what they seem to: a '*' for whole labels in front of a name, and for a port.
func validOrigin(s string) bool {
	if s == "*" {
		return true
	}
	plain, _ := strings.CutSuffix(s, ":*")
	scheme, host, ok := strings.Cut(plain, "://")
	host, _ = strings.CutPrefix(host, "*.")
	u, err := url.Parse(scheme + "://" + host)
	return ok && err == nil && (scheme == "https" || scheme == "http") && u.Host == host && u.Hostname() != "" && !strings.ContainsAny(host, "*@/?#")
}

func checkApps(p *InvalidError, apps []App) {
	appIDs, keyIDs := map[string]path{}, map[string]path{}
	for i, app := range apps {
		at := path("app").element(i)
		checkID(p, at.key("id"), app.ID, appIDs)
		for j, key := range app.Keys {
			at := at.key("key").element(j)
			checkID(p, at.key("id"), key.ID, keyIDs)
			if n := len(key.Secret); n < minSecretBytes || n > maxSecretBytes {
				p.add(at.key("secret"), "has %d characters; it must have %d to %d, for example from: openssl rand -base64 32", n, minSecretBytes, maxSecretBytes)
			}
		}
		for j, rule := range app.Rules {
			checkPattern(p, at.key("rule").element(j).key("pattern"), rule.Pattern)
		}
		checkAnonymous(p, at.key("anonymous"), app.Anonymous)
	}
}

func checkID(p *InvalidError, at path, id string, used map[string]path) {
	if auth.CheckID(id) != nil {
		p.add(at, "is %q; it must be 1 to %d letters, digits, '_', '-' and '.'", id, auth.MaxIDBytes)
		return
	}
	if first, twice := used[id]; twice {
		p.add(at, "is %q, which is %s already", id, first)
	}
	used[id] = at
}

func checkPattern(p *InvalidError, at path, pattern string) {
	if pattern == "" || len(pattern) > maxPattern {
		p.add(at, "has %d bytes; it must have 1 to %d, \"*\" is every channel", len(pattern), maxPattern)
	}
}

func checkAnonymous(p *InvalidError, at path, allowed map[string][]string) {
	for pattern, actions := range allowed {
		at := at.key(pattern)
		checkPattern(p, at, pattern)
		for _, name := range actions {
			if _, ok := hub.ParseAction(name); !ok {
				p.add(at, "allows %q; the actions are %s", name, hub.AllActions)
			}
		}
	}
}
