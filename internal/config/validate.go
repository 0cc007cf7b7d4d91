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

	"github.com/snoserver/sno/internal/peer"
)

// Validate checks everything that can be checked without the machine. The error is a *InvalidError.
func (c *Config) Validate() error {
	p := &InvalidError{}
	checkTags(p, "", reflect.ValueOf(c).Elem())
	checkListeners(p, c)
	checkTLS(p, &c.TLS)
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

func checkListeners(p *InvalidError, c *Config) {
	if len(c.Listen)+len(c.ListenProxy) == 0 {
		p.add("listen", "is empty; it must have at least one address, such as \"127.0.0.1:7878\"")
	}
	checkAddresses(p, "listen", c.Listen)
	checkAddresses(p, "listen_proxy", c.ListenProxy)
	if c.Admin.Listen != "" {
		checkAddresses(p, "admin.listen", Addresses{c.Admin.Listen})
	}
	for i, network := range c.TrustedProxies {
		if _, err := peer.ParseNetworks([]string{network}); err != nil {
			p.add(path("trusted_proxies").element(i), "%s", err)
		}
	}
	if len(c.ListenProxy) > 0 && len(c.TrustedProxies) == 0 {
		p.add("listen_proxy", "is for trusted_proxies, which is empty; name the load balancers' networks there")
	}
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
