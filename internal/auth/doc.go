// Package auth turns credentials into grants.
//
//   - A secret proves a backend, a token signed with it proves a client. Neither is taken for the other.
//   - Tokens are JWTs (RFC 7519). The algorithm decides which keys are looked at, and is pinned for each: HS256 for app keys, for an issuer the one
//     that is configured. So no public key is ever taken for a secret, and where a token says that its key is counts for nothing.
//   - A token without an end is refused. A token whose only fault is that it has ended gets CodeTokenExpired, what only has to be tried again (an issuer or a
//     backend that cannot be reached) CodeOverloadedConnect, every other fault CodeUnauthorized, so that a client knows what helps.
//   - A client's id can name itself in a channel pattern and nothing more.
//   - Cookies count only for pages of which the browser says that they are the server's own or configured. Who has shown another credential is not asked for them.
//   - Secrets are compared in constant time, and stand in no error, no log line and no %v of a value of this package.
//   - Without a credential there is no grant, unless the app says what anonymous clients may do or has public channels.
//
// An Authenticator has no goroutines of its own but those that fetch keys, which end by themselves. docs/auth.md is the page for operators, docs/tokens.md for
// those who sign tokens.
package auth
