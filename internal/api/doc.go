// Package api is the HTTP API: publish, history, presence, and the administration of channels, sessions and tokens, for backends and for whoever has no socket.
//
//   - A publish is answered when its messages are stored as the channel's rule demands, never before.
//   - Whoever publishes several messages at once is told of each whether it was stored. A problem without results means that none was,
//     unless its code is 4305 (unavailable): then nobody knows, and the same ids may be sent again.
//   - Several messages at once keep their order, also when some have to be sent again: behind one that could not be stored for now none is stored.
//   - What is malformed or not allowed is refused before anything is stored. Unknown fields and parameters are refused, by name: a misspelt
//     "ephemeral" that was ignored would be stored for ever.
//   - Every error is a problem (RFC 9457) with a code of spec/PROTOCOL.md. What is our own failure is logged once and shown as no more than that.
//   - What it does and what spec/openapi.yaml says is the same.
//   - An answer that caches may keep is the same for everybody. A full page of history is the same for ever, to the byte.
//   - Memory is bounded: of one body by the limits of the hub, of all bodies by maxBodies.
//
// docs/http.md is the page for its users.
package api
