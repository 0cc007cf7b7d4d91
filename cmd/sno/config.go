package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/config"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check, show and explain the server's configuration",
		Example: `  sno config check --config sno.toml
  sno config print --config sno.toml --store.sync never
  sno config docs`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigCheck(), newConfigPrint(), newConfigDocs())
	for _, sub := range c.Commands() {
		sub.Args = usageArgs(sub.Args)
	}
	return c
}

func newConfigCheck() *cobra.Command {
	c := &cobra.Command{
		Use:     "check",
		Short:   "Say what is wrong with the configuration",
		Long:    "Say everything that is wrong with the file, the environment and the flags, and exit with 1 if anything is.",
		Example: "  sno config check --config sno.toml",
		Args:    cobra.NoArgs,
	}
	from := settingsFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if _, err := config.Load(from()); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "the configuration is right")
		return nil
	}
	return c
}

func newConfigPrint() *cobra.Command {
	c := &cobra.Command{
		Use:     "print",
		Short:   "Print the configuration in force, without secrets, and where each value comes from",
		Example: "  sno config print --config sno.toml",
		Args:    cobra.NoArgs,
	}
	from := settingsFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		loaded, err := config.Load(from())
		if err != nil {
			return err
		}
		return loaded.Print(c.OutOrStdout())
	}
	return c
}

func newConfigDocs() *cobra.Command {
	return &cobra.Command{
		Use:     "docs",
		Short:   "Print the page about all settings, in Markdown",
		Example: "  sno config docs > configuration.md",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			page, err := config.Reference()
			if err != nil {
				return err
			}
			fmt.Fprint(c.OutOrStdout(), page)
			return nil
		},
	}
}

// settingsFlags gives a command a flag for every setting and one for the file, and returns what tells where its configuration comes from.
func settingsFlags(c *cobra.Command) func() config.Input {
	var file string
	c.Flags().StringVar(&file, "config", "", "the configuration file, TOML ("+config.EnvFile+")")
	for _, s := range config.Settings() {
		c.Flags().String(s.Name(), "", fmt.Sprintf("%s (%s, default %q)", s.Doc(), s.Env(), s.Default()))
	}
	return func() config.Input {
		in := config.Input{File: firstOf(file, os.Getenv(config.EnvFile)), Env: os.Environ(), Flags: map[string]string{}}
		for _, s := range config.Settings() {
			if f := c.Flags().Lookup(s.Name()); f.Changed {
				in.Flags[s.Name()] = f.Value.String()
			}
		}
		return in
	}
}
