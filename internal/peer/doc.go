// Package peer finds out who is at the other end when proxies are between: by the PROXY protocol, which begins a connection, or by headers, which come with
// a request.
//
//   - What is said counts only if a proxy of a trusted network says it. From anybody else a header is as if it were not there, and a connection to a
//     listener for the PROXY protocol is closed.
//   - Of several proxies each trusts the one before it: the client is the last address of the chain that is not a trusted proxy's.
//   - Parsing is strict: whatever is not exactly as its document says counts as not said (a header) or ends the connection (PROXY protocol).
package peer
