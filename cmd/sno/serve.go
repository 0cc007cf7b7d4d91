package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/server"
)

func newServe() *cobra.Command {
	var file, listen string
	var check bool
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the server",
		Long: `Run the server as a configuration file says.

SIGTERM or Ctrl-C drains: clients are asked to go, spread over the configured time, then the server ends with exit code 0.
A second signal ends it at once; nothing that was acknowledged is lost by that either.`,
		Example: `  sno serve --config sno.toml
  sno serve --config sno.toml --check    # only say whether the file is right`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("--config FILE is missing; to try Snö without a configuration use: sno dev")
			}
			cfg, err := config.Load(file)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if listen != "" {
				cfg.Listen = listen
			}
			if check {
				fmt.Fprintf(c.OutOrStdout(), "%s is right\n", file)
				return nil
			}
			return runServe(c, cfg)
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file (TOML)")
	c.Flags().StringVar(&listen, "listen", "", "host:port instead of the file's")
	c.Flags().BoolVar(&check, "check", false, "check the configuration and exit")
	return c
}

func runServe(c *cobra.Command, cfg config.Config) error {
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	s, err := server.New(cfg, log)
	if err != nil {
		return err
	}
	log.Info("serving", "url", s.URL(), "data", cfg.Data, "apps", len(cfg.Apps))
	err = s.Run(c.Context())
	log.Info("stopped")
	return err
}
