// Package auth turns credentials into grants.
//
//   - A secret proves a backend, a token signed with it proves a client. Neither is taken for the other.
//   - Tokens are JWTs (RFC 7519) signed with HS256 and nothing else: what the header says of other algorithms is refused before any key is looked up.
//   - A token without an end is refused. A token whose only fault is that it has ended gets CodeTokenExpired, every other
//     fault CodeUnauthorized, so that a client knows whether a fresh token helps.
//   - Secrets are compared in constant time, and stand in no error, no log line and no %v of a value of this package.
//   - Without a credential there is no grant, unless the app says what anonymous clients may do or has public channels.
//
// docs/tokens.md is the page for those who sign tokens.
package auth
