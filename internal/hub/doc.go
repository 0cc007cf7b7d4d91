// Package hub is the core of Snö: channels are logs, sessions are sets of cursors, and everything a session gets is pulled by it.
//
// Guarantees:
//
//   - The messages of a channel come to every session in log order, each once, and none is left out without a reset. There is no third outcome.
//   - A session sees the messages of all its channels in log order (the order of their offsets).
//   - A publish that was answered without error is in the log, and every cursor at the tail will get it.
//   - What a session has not pulled costs nothing: memory is bounded by the number of sessions, subscriptions and live channels.
//     Answers to a session's own requests wait in a list that is bounded; Session.Reserve waits while it is full.
//   - Nobody waits for a session: delivery appends to the channel's tail and marks sessions ready.
//
// A message's way: Hub.Publish → Log.Append → (durable) Hub.Deliver → tail → lanes mark sessions and drain them → Session.PullRun or Session.Pull.
//
// Lock order: Session.mu → revoked.loading → revoked.mu, revocations.mu; Session.mu → shard.mu, live.subsMu; Session.mu → live.mu; Session.mu → presence → shard.mu; lanes.mu → lane.mu; Session.mu → lane.mu last. Nothing
// blocks under a lock: the log is read and appended to without any, and what is called under one (Waker.Wake, Lane.Call, Observer) does not block.
//
// The package knows no protocol and no transport, and imports the standard library only.
package hub
