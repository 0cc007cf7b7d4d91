package hub

import (
	"context"
	"log/slog"
	"time"
)

// tellBegin and tellEnd write a session's life to the log: the ends that the server has decided on as info, for somebody may ask why, everything else
// as debug. They show neither the session's key nor what its client has published.

func (s *Session) tellBegin() { s.write(slog.LevelDebug, "a session begins") }

func (s *Session) tellEnd(why *Error) {
	lasted := slog.Duration("lasted", time.Since(s.Started()).Round(time.Millisecond))
	if why == nil {
		s.write(slog.LevelDebug, "a session ends", lasted)
		return
	}
	level := slog.LevelInfo
	if why.Code.Reconnect() == "now" || why.Code == CodeReplaced {
		level = slog.LevelDebug // in the course of things: a drain, a token's end, a client that has moved on
	}
	s.write(level, "a session is ended", lasted, slog.String("code", why.Code.String()), slog.String("reason", why.Text))
}

func (s *Session) write(level slog.Level, what string, more ...slog.Attr) {
	ctx := context.Background()
	if !s.hub.logger.Enabled(ctx, level) {
		return
	}
	g := s.Grant()
	s.hub.logger.LogAttrs(ctx, level, what, append([]slog.Attr{
		slog.String("session", s.id), slog.String("app", g.App), slog.String("client", g.Client),
		slog.String("transport", s.transport), slog.String("address", s.address),
	}, more...)...)
}
