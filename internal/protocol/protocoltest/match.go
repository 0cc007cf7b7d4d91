package protocoltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// captures are the values that a conversation has named, as JSON.
type captures map[string]json.RawMessage

// wildcard is "$TYPE", with ">NAME" for an integer above a captured one and ":NAME" to capture.
var wildcard = regexp.MustCompile(`^"\$(any|int|string)(?:>([a-z0-9_.]+))?(?::([a-z0-9_.]+))?"$`)

// anyWildcard finds wildcards in a longer text; its second group is the name.
var anyWildcard = regexp.MustCompile(`"\$(any|int|string)(?:>[a-z0-9_.]+)?(?::([a-z0-9_.]+))?"`)

// optional finds members that may be missing.
var optional = regexp.MustCompile(`,"[a-z0-9_]+\?":(?:"[^"]*"|…|\{[^}]*\})`)

// use is "$=NAME", in patterns and in what is sent.
var use = regexp.MustCompile(`"\$=([a-z0-9_.]+)"`)

// fill is "$fill>NAME": a string one character longer than a number, which is captured or written there.
var fill = regexp.MustCompile(`"\$fill>([a-z0-9_.]+)"`)

// expand puts captured values where they are used, and leaves every other byte as it is.
func (c captures) expand(text []byte) ([]byte, error) {
	var missing error
	value := func(name string) json.RawMessage {
		v, ok := c[name]
		if !ok {
			missing = fmt.Errorf("%q is used before it is captured", name)
		}
		return v
	}
	text = use.ReplaceAllFunc(text, func(m []byte) []byte { return value(string(use.FindSubmatch(m)[1])) })
	text = fill.ReplaceAllFunc(text, func(m []byte) []byte {
		name := string(fill.FindSubmatch(m)[1])
		n, err := strconv.Atoi(name)
		if err != nil {
			n, _ = strconv.Atoi(string(value(name)))
		}
		return []byte(`"` + strings.Repeat("x", n+1) + `"`)
	})
	return text, missing
}

// match compares a value with a pattern. Only if they match are the pattern's captures added to c.
func (c captures) match(pattern, got json.RawMessage) error {
	expanded, err := c.expand(pattern)
	if err != nil {
		return err
	}
	m := matcher{maps.Clone(c)}
	if m.captures == nil {
		m.captures = captures{}
	}
	if err := m.value("", bytes.TrimSpace(expanded), bytes.TrimSpace(got)); err != nil {
		return err
	}
	maps.Copy(c, m.captures)
	return nil
}

type matcher struct{ captures captures }

func (m *matcher) value(path string, pattern, got json.RawMessage) error {
	if w := wildcard.FindSubmatch(pattern); w != nil {
		return m.wildcard(path, w, got)
	}
	if strings.HasSuffix(path, ".data") { // data is kept byte for byte
		return same(path, pattern, got)
	}
	switch pattern[0] {
	case '{':
		return m.object(path, pattern, got)
	case '[':
		return m.array(path, pattern, got)
	default:
		return scalar(path, pattern, got)
	}
}

func same(path string, pattern, got json.RawMessage) error {
	if !bytes.Equal(pattern, got) {
		return fmt.Errorf("%s: want %s, got %s", at(path), clip(pattern), clip(got))
	}
	return nil
}

// scalar compares strings by what they say and everything else by its source: 1.0 is not 1, and a ref comes back unchanged.
func scalar(path string, pattern, got json.RawMessage) error {
	var want, have string
	if json.Unmarshal(pattern, &want) == nil && json.Unmarshal(got, &have) == nil && want == have {
		return nil
	}
	return same(path, pattern, got)
}

func (m *matcher) wildcard(path string, w [][]byte, got json.RawMessage) error {
	kind, above, name := string(w[1]), string(w[2]), string(w[3])
	n, notInt := strconv.ParseUint(string(got), 10, 53)
	switch {
	case kind == "int" && notInt != nil:
		return fmt.Errorf("%s: want an integer from 0 to 2^53-1, got %s", at(path), clip(got))
	case kind == "string" && got[0] != '"':
		return fmt.Errorf("%s: want a string, got %s", at(path), clip(got))
	}
	if above != "" {
		if low, err := strconv.ParseUint(string(m.captures[above]), 10, 53); err != nil || n <= low {
			return fmt.Errorf("%s: want more than %s (%s), got %s", at(path), m.captures[above], above, got)
		}
	}
	return m.capture(path, name, got)
}

// capture names a value. A name stands for one value in the whole conversation.
func (m *matcher) capture(path, name string, got json.RawMessage) error {
	if name == "" {
		return nil
	}
	if before, ok := m.captures[name]; ok {
		return same(path, before, got)
	}
	m.captures[name] = bytes.Clone(got)
	return nil
}

// object wants the members of the pattern and no others. A member whose name ends in "?" may be missing.
func (m *matcher) object(path string, pattern, got json.RawMessage) error {
	var want, have map[string]json.RawMessage
	if err := json.Unmarshal(pattern, &want); err != nil {
		return fmt.Errorf("%s: pattern: %w", at(path), err)
	}
	if set, ok := want["$set"]; ok {
		return m.set(path, set, got)
	}
	if err := json.Unmarshal(got, &have); err != nil || have == nil {
		return fmt.Errorf("%s: want an object, got %s", at(path), clip(got))
	}
	for name, p := range want {
		plain := strings.TrimSuffix(name, "?")
		value, ok := have[plain]
		delete(have, plain)
		if !ok && plain == name {
			return fmt.Errorf("%s.%s is missing", path, name)
		}
		if ok {
			if err := m.value(path+"."+plain, p, value); err != nil {
				return err
			}
		}
	}
	for name, value := range have {
		return fmt.Errorf("%s.%s is there and should not be: %s", path, name, clip(value))
	}
	return nil
}

func (m *matcher) array(path string, pattern, got json.RawMessage) error {
	want, have, err := arrays(path, pattern, got)
	if err != nil {
		return err
	}
	for i := range want {
		if err := m.value(fmt.Sprintf("%s[%d]", path, i), want[i], have[i]); err != nil {
			return err
		}
	}
	return nil
}

// set matches an array whose order does not count: each element with the first pattern left that it matches.
func (m *matcher) set(path string, pattern, got json.RawMessage) error {
	want, have, err := arrays(path, pattern, got)
	if err != nil {
		return err
	}
	for i, value := range have {
		found := false
		for j, p := range want {
			try := matcher{maps.Clone(m.captures)}
			if try.value(path, p, value) == nil {
				want, found, m.captures = append(want[:j:j], want[j+1:]...), true, try.captures
				break
			}
		}
		if !found {
			return fmt.Errorf("%s[%d]: nothing in the set is like %s", path, i, clip(value))
		}
	}
	return nil
}

func arrays(path string, pattern, got json.RawMessage) (want, have []json.RawMessage, err error) {
	if err := json.Unmarshal(pattern, &want); err != nil {
		return nil, nil, fmt.Errorf("%s: pattern: %w", at(path), err)
	}
	if err := json.Unmarshal(got, &have); err != nil || have == nil {
		return nil, nil, fmt.Errorf("%s: want an array, got %s", at(path), clip(got))
	}
	if len(want) != len(have) {
		return nil, nil, fmt.Errorf("%s: want %d elements, got %d: %s", at(path), len(want), len(have), clip(got))
	}
	return want, have, nil
}

func at(path string) string {
	if path == "" {
		return "the frame"
	}
	return path
}

func clip(b []byte) string {
	if len(b) > 300 {
		return fmt.Sprintf("%s… (%d bytes)", b[:300], len(b))
	}
	return string(b)
}
