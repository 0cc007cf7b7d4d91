package protocoltest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Document renders the vectors that have a place in "Whole conversations" as that section has them, in Markdown.
func Document(vectors []Vector) (string, error) {
	var chosen []Vector
	for _, v := range vectors {
		if v.Document > 0 {
			chosen = append(chosen, v)
		}
	}
	slices.SortFunc(chosen, func(a, b Vector) int { return cmp.Compare(a.Document, b.Document) })
	var out strings.Builder
	for i, v := range chosen {
		if v.Document != i+1 {
			return "", fmt.Errorf("%s: document is %d, but the conversation before is number %d", v.Name, v.Document, i)
		}
		if err := v.render(&out); err != nil {
			return "", fmt.Errorf("%s: %w", v.Name, err)
		}
	}
	return out.String(), nil
}

func (v *Vector) render(out *strings.Builder) error {
	fmt.Fprintf(out, "### %d. %s\n\n%s ([`%s.json`](vectors/%s.json))\n\n```text\n", v.Document, v.Title, v.About, v.Name, v.Name)
	for i := range v.Steps {
		lines, err := v.lines(&v.Steps[i])
		if err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		for _, line := range lines {
			fmt.Fprintf(out, "%s\n", line)
		}
	}
	out.WriteString("```\n\n")
	return nil
}

// lines is what a step looks like: who, which way, what.
func (v *Vector) lines(s *Step) ([]string, error) {
	switch {
	case s.Client != nil:
		text, err := v.sample(s.Client)
		return []string{s.on() + " → " + text}, err
	case s.Server != nil:
		text, err := v.sample(s.Server)
		return []string{s.on() + " ← " + text}, err
	case s.Servers != nil:
		return v.sequences(s)
	case s.Drop:
		return []string{s.on() + "   (the connection breaks)"}, nil
	case s.Hangup != 0:
		return []string{fmt.Sprintf("%s   (closes with %d)", s.on(), s.Hangup)}, nil
	case s.Close != 0:
		return []string{fmt.Sprintf("%s ← (close %d)", s.on(), s.Close)}, nil
	}
	return nil, fmt.Errorf("a step of this kind has no place in the document")
}

func (v *Vector) sequences(s *Step) ([]string, error) {
	sequences, err := s.sequences()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, sequence := range sequences {
		for _, frame := range sequence {
			text, err := v.sample(frame)
			if err != nil {
				return nil, err
			}
			lines = append(lines, s.on()+" ← "+text)
		}
	}
	return lines, nil
}

// sample puts the vector's samples, or an ellipsis, where the pattern leaves the server a choice.
func (v *Vector) sample(pattern json.RawMessage) (string, error) {
	var missing error
	value := func(name string) []byte {
		sample, ok := v.Samples[name]
		if !ok {
			missing = fmt.Errorf("no sample for %q", name)
		}
		return sample
	}
	text := use.ReplaceAllFunc(pattern, func(m []byte) []byte { return value(string(use.FindSubmatch(m)[1])) })
	text = anyWildcard.ReplaceAllFunc(text, func(m []byte) []byte {
		if name := anyWildcard.FindSubmatch(m)[2]; len(name) > 0 {
			return value(string(name))
		}
		return []byte("…")
	})
	return optional.ReplaceAllString(string(text), ""), missing
}
