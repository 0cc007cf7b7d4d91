package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/server"
)

func newServe() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the server",
		Long: `Run the server as a configuration file, the environment and flags say. "sno config docs" explains every setting.

SIGHUP reads the configuration again, without a disconnect. SIGTERM or Ctrl-C drains: clients are asked to go, spread over the configured time, then the server ends with exit code 0.
A second signal ends it at once; nothing that was acknowledged is lost by that either.`,
		Example: `  sno serve --config sno.toml
  SNO_KEY=shop SNO_SECRET_FILE=/run/secrets/sno sno serve --listen :7878`,
		Args: cobra.NoArgs,
	}
	from := settingsFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		in := from()
		cfg, err := config.Load(in)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		if in.File == "" && len(cfg.Apps) == 0 {
			return usage("there is no app: give a file with --config FILE, or a key with SNO_KEY and SNO_SECRET; to try Snö without a configuration use: sno dev")
		}
		return runServe(c, in, cfg)
	}
	return c
}

func runServe(c *cobra.Command, in config.Input, cfg *config.Loaded) error {
	level := new(slog.LevelVar)
	level.Set(cfg.Log.SlogLevel())
	log := serverLog(c.ErrOrStderr(), cfg.Log.Format, level)
	for _, note := range cfg.Unused {
		log.Warn(note)
	}
	cfg.Version = thisBuild().Version
	s, err := server.New(cfg.Config, log)
	if err != nil {
		return err
	}
	log.Info("serving", "urls", s.URLs(), "admin", s.AdminURL(), "data", cfg.Data, "apps", len(cfg.Apps))
	tell := func(state string) {
		if err := notify(state); err != nil {
			log.Warn("the service manager cannot be told", "state", state, "error", err)
		}
	}
	defer onHangup(func() {
		tell(notifyReloading())
		reload(s, in, log, level)
		tell(notifyReady)
	})()
	tell(notifyReady) // the sockets are open: who connects now is served
	told := make(chan struct{})
	context.AfterFunc(c.Context(), func() {
		defer close(told)
		tell(notifyStopping)
	})
	if err = s.Run(c.Context()); c.Context().Err() != nil {
		<-told
	}
	log.Info("stopped")
	return err
}

// reload reads the configuration again. One that is wrong changes nothing.
func reload(s *server.Server, in config.Input, log *slog.Logger, level *slog.LevelVar) {
	cfg, err := config.Load(in)
	if err == nil {
		err = s.Reload(cfg.Config)
	}
	if err != nil {
		log.Error("the configuration is refused, and the one before stays in force", "error", err)
		return
	}
	level.Set(cfg.Log.SlogLevel())
	log.Info("the configuration has been read again", "apps", len(cfg.Apps))
}

// onHangup calls f for each SIGHUP, one after the other, until stop is called.
func onHangup(f func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range hangups {
			f()
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-ended
	}
}

// serverLog writes lines for machines, unless somebody is watching or asked for text.
func serverLog(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" || format == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
