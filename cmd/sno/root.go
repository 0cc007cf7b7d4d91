package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	exitFailed = 1 // it was tried and did not succeed; verify: a promise was broken
	exitUsage  = 2 // it could not be tried
)

// exitError is an error with an exit code. A nil Err prints nothing: it has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func exitCode(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	e, ok := errors.AsType[*exitError](err)
	if !ok {
		e = &exitError{exitFailed, err}
	}
	if e.err != nil {
		fmt.Fprintln(stderr, "sno:", e.err)
	}
	return e.code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sno",
		Short: "Real-time messages: in order, without a gap, to everybody",
		Long: `sno is a real-time messaging server, and the tools to talk to one.

To try it: run "sno dev" in one terminal and, in another, "sno sub chat" and "sno pub chat hello".

The tools read where to connect from SNO_URL, SNO_KEY and SNO_SECRET, or SNO_TOKEN; flags of the same names go first.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w\nsee: %s --help", err, c.CommandPath())
	})
	root.AddCommand(newDev(), newServe(), newConfig(), newPub(), newSub(), newHistory(), newPresence(), newChannels(), newSessions(), newWebhooks(), newToken(), newProbe(), newBench(), newVerify(), newVersion())
	for _, c := range root.Commands() {
		c.Args = usageArgs(c.Args)
	}
	root.Args = usageArgs(root.Args)
	root.InitDefaultCompletionCmd()
	complete(root)
	return root
}

// usageArgs gives the errors of an argument check the exit code of a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(c, args); err != nil {
			return usage("%w\nsee: %s --help", err, c.CommandPath())
		}
		return nil
	}
}

// logger writes for a person who watches: no time, no source.
func logger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}
