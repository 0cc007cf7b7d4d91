// Package hostile plays clients that mean harm against a whole server, over real sockets. A bystander on each transport follows a channel throughout, and must
// notice nothing: every message comes once, in order and soon. After each attack the server holds no session and no memory of it, and at the end no goroutine.
//
// Not played: a peer whose machine vanishes (no FIN) needs a network of its own, which not every machine that runs the tests can give; what the server makes
// of it is tested by TestP5SilentDeathOfAStream, in a network of its own, and with a peer that falls silent by TestP5PresenceConverges.
package hostile
