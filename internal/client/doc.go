// Package client speaks the native protocol (spec/PROTOCOL.md) over all its transports: the Go client behind the command line, `sno verify` and the contract tests.
//
// What it guarantees:
//
//   - It stays connected by itself. A lost connection is made again with a full-jitter back-off, or at once, or never, as the
//     code says with which it ended. Silence for the server's heartbeat and 10 seconds counts as lost.
//   - It takes the first transport that gets through: WebSocket, a stream of lines, one of events, or polls. It goes on as the same session, by whatever
//     transport it connects again. Between two polls ephemeral messages are missed.
//   - A subscription gets every message after its position, in order, through any number of connections. A message that does not follow
//     the one before is reported as a *Fault, never passed over.
//   - Publishes are sent in the order of the calls, and those that were not answered are sent again with the same ids and in the same
//     order after a reconnect: none is lost, doubled or overtaken. What was refused for a while (overloaded, unavailable, disk full) is
//     retried, and so is all that was sent behind it, which the server refuses too ("ordered" publishes).
//   - Ephemeral publishes are sent at most once.
//   - Memory is bounded by Options.Window and Options.WindowBytes: Publish blocks when so much is unanswered. Nothing received is queued:
//     a slow handler makes the server wait.
//
// Two goroutines serve a client: one reads and calls handlers and callbacks, one writes. So a handler or callback that waits for an answer of the
// same client (Publish, History, Subscribe, Close …) would wait for ever; hand such work to another goroutine.
//
// Client.mu is the only lock; nothing blocks and no handler is called under it.
package client
