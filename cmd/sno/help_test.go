package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands returns every command that somebody may type, without those that cobra adds.
func commands() (all []*cobra.Command) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() != "completion" && sub.Name() != "help" {
				all = append(all, sub)
				walk(sub)
			}
		}
	}
	walk(newRoot())
	return all
}

// Every command has an example, and what the examples say can be said.
func TestExamplesParse(t *testing.T) {
	for _, c := range commands() {
		found := 0
		for line := range strings.SplitSeq(c.Example, "\n") {
			for _, words := range commandLines(line) {
				found++
				target, args, err := newRoot().Find(words)
				if err == nil {
					err = target.ParseFlags(args)
				}
				if err == nil && target.Args != nil {
					err = target.Args(target, target.Flags().Args())
				}
				if err != nil {
					t.Errorf("%s: the example %q: %v", c.CommandPath(), strings.TrimSpace(line), err)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s has no example", c.CommandPath())
		}
	}
}

// commandLines returns the arguments of each "sno …" of a line of shell, as far as examples go: quotes, pipes, comments and $(…).
func commandLines(line string) (all [][]string) {
	line, _, _ = strings.Cut(line, "    #")
	var words []string
	var word strings.Builder
	quoted, begun := false, false
	end := func() {
		if begun {
			words = append(words, word.String())
			word.Reset()
			begun = false
		}
	}
	command := func() {
		end()
		for i, w := range words {
			if w == "sno" {
				all = append(all, words[i+1:])
				break
			}
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case quoted:
			word.WriteRune(r)
		case r == ' ':
			end()
		case strings.ContainsRune("|()&;", r):
			command()
		case r == '<' || r == '>':
			command()
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	command()
	return all
}
