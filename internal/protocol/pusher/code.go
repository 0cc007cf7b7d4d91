package pusher

import "github.com/snoserver/sno/internal/hub"

// Codes of Pusher's protocol. As the code of a close frame the first two digits say what a client does about it, in the same ranges as the hub's: 40 it stays away for good, 41 it comes
// back after a second, 42 it comes back at once.
const (
	codeUnknownApp    = 4001
	codeBadVersion    = 4006
	codeUnsupported   = 4007
	codeUnauthorized  = 4009
	codeOverCapacity  = 4100
	codeReconnect     = 4200
	codeNoAnswer      = 4201
	codeTooManyEvents = 4301
	codeWatchlist     = 4302
)

// closeCodes are the codes for which the hub's would mean something else to these clients; 4000, for one, is "come back with TLS".
var closeCodes = map[hub.Code]int{
	hub.CodeBadHandshake:  codeBadVersion,
	hub.CodeRevoked:       codeUnauthorized,
	hub.CodeFrameTooLarge: codeOverCapacity,
	hub.CodeBadFrame:      codeOverCapacity,
	hub.CodeTimeout:       codeNoAnswer,
	hub.CodeTokenExpired:  codeReconnect,
}

// closeCode is how a connection ends for an error.
func closeCode(err *hub.Error) int {
	code, other := closeCodes[err.Code]
	switch {
	case other:
		return code
	case err.Code.Reconnect() == "stay": // a request failed, and the connection with it: the same may work later
		return codeOverCapacity
	}
	return int(err.Code)
}

// errorCode is what pusher:error says of a request that failed: Pusher's has a number for few things.
func errorCode(err *hub.Error) int {
	switch err.Code {
	case hub.CodeUnauthorized, hub.CodeForbidden:
		return codeUnauthorized
	case hub.CodeRateLimited:
		return codeTooManyEvents
	}
	return 0
}
