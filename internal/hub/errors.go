package hub

import (
	"errors"
	"fmt"
)

// Code says what went wrong, as a number that is the same on every surface: native error frames, WebSocket close codes,
// HTTP problems. Its range says what a client should do about its connection:
// 4000–4099 do not connect again with the same credentials and address, 4100–4199 connect again after a back-off,
// 4200–4299 connect again at once, 4300–4399 the connection goes on: only the request failed.
type Code uint16

// The codes there are. spec/PROTOCOL.md has the same table, and a test compares them.
const (
	CodeBadHandshake  Code = 4000
	CodeUnauthorized  Code = 4001
	CodeBadOrigin     Code = 4002
	CodeRevoked       Code = 4003
	CodeFrameTooLarge Code = 4004
	CodeBadFrame      Code = 4005
	CodeReplaced      Code = 4006

	CodeOverloadedConnect Code = 4100
	CodeTimeout           Code = 4101
	CodeInternal          Code = 4102

	CodeGoaway       Code = 4200
	CodeTokenExpired Code = 4201

	CodeBadRequest      Code = 4300
	CodeForbidden       Code = 4301
	CodeMessageTooLarge Code = 4302
	CodeConflict        Code = 4303
	CodeOverloaded      Code = 4304
	CodeUnavailable     Code = 4305
	CodeDiskFull        Code = 4306
	CodeCorrupt         Code = 4307
	CodeLimit           Code = 4308
	CodeNotFound        Code = 4309
	CodeNotSubscribed   Code = 4310
	CodeOutOfOrder      Code = 4311
	CodeRateLimited     Code = 4312
)

// CodeInfo describes a code for documents, clients and tests.
type CodeInfo struct {
	Code    Code
	Name    string
	Meaning string
}

// Codes is the one table of codes, in order.
var Codes = []CodeInfo{
	{CodeBadHandshake, "bad_handshake", "The first frame was not a valid connect frame."},
	{CodeUnauthorized, "unauthorized", "The credential is missing, unknown, badly signed or for another app."},
	{CodeBadOrigin, "bad_origin", "The page's origin may not connect to this server."},
	{CodeRevoked, "revoked", "The session was ended by an administrator."},
	{CodeFrameTooLarge, "frame_too_large", "A frame was too large to read."},
	{CodeBadFrame, "bad_frame", "Too many frames could not be understood."},
	{CodeReplaced, "replaced", "Another connection goes on with this session."},
	{CodeOverloadedConnect, "overloaded_connect", "The server takes no new connections just now."},
	{CodeTimeout, "timeout", "Nothing was heard from the client in time."},
	{CodeInternal, "internal", "Something failed inside the server; its log says what."},
	{CodeGoaway, "goaway", "The server is draining: connect again after the delay it gave."},
	{CodeTokenExpired, "token_expired", "The token has expired: connect again with a fresh one."},
	{CodeBadRequest, "bad_request", "The request is malformed; the text names the field."},
	{CodeForbidden, "forbidden", "The grant or the channel's rule does not allow this."},
	{CodeMessageTooLarge, "message_too_large", "The message is larger than limits.message_bytes; nothing was stored."},
	{CodeConflict, "conflict", "The channel is no longer at the expected position."},
	{CodeOverloaded, "overloaded", "Too much is waiting to be stored; try again shortly."},
	{CodeUnavailable, "unavailable", "The store failed; the message may or may not be stored. Retry with the same id."},
	{CodeDiskFull, "disk_full", "The disk has no space left; nothing was stored."},
	{CodeCorrupt, "corrupt", "The stored data is damaged and was not served."},
	{CodeLimit, "limit", "A limit of the app or server is reached; the text names it."},
	{CodeNotFound, "not_found", "There is no such thing."},
	{CodeNotSubscribed, "not_subscribed", "The session has no such subscription."},
	{CodeOutOfOrder, "out_of_order", "An earlier ordered publish of this connection failed; publish that one again first."},
	{CodeRateLimited, "rate_limited", "Too many requests in a short time; the text says which, try again a little later."},
}

// String is the code's name.
func (c Code) String() string {
	for _, i := range Codes {
		if i.Code == c {
			return i.Name
		}
	}
	return fmt.Sprintf("code_%d", c)
}

// Reconnect says what a client does with its connection after this code: "no", "backoff", "now" or "stay".
func (c Code) Reconnect() string {
	switch c / 100 {
	case 40:
		return "no"
	case 41:
		return "backoff"
	case 42:
		return "now"
	default:
		return "stay"
	}
}

// Error is an error that may be shown to whoever made the request. Any other error is shown as "internal error" and logged.
type Error struct {
	Code Code
	Text string // what was wrong, with the value and the limit, and what to do
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Errorf makes an *Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// Show returns what of err may be shown: the *Error in it, or an internal error. The caller logs what is not shown; ok says that nothing was hidden.
func Show(err error) (shown *Error, ok bool) {
	if e, found := errors.AsType[*Error](err); found {
		return e, true
	}
	return &Error{CodeInternal, "internal error"}, false
}
