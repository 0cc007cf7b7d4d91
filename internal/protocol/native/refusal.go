package native

import (
	"log/slog"

	"github.com/snoserver/sno/internal/hub"
)

// LogRefusal writes to the log that a connection was refused; by says which transport or route it was for. The text of a refused credential is left out: it quotes what the client sent, which may be
// a secret in the wrong place.
func LogRefusal(log *slog.Logger, by slog.Attr, address string, err *hub.Error) {
	reason := err.Text
	if err.Code == hub.CodeUnauthorized {
		reason = "not shown: it may quote a credential"
	}
	log.Info("refused a connection", by, "address", address, "code", err.Code.String(), "reason", reason)
}
