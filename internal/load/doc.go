// Package load is the load of `sno bench`: many clients of the native protocol (package client) in one process, what they got of a server, and how fast.
//
// What a number means:
//
//   - Times are those of users. A connection counts from its first attempt to the server's welcome, through refusals and the pauses after them. With a rate a
//     message counts from the moment when it was due, not from when the publisher got to it, so that a server that stalls is not asked less; without one, from
//     the moment when it was sent, so many at a time.
//   - What a client gets over by itself (a refused connection, a publish that is sent again) is counted as an error by its code, and is no failure.
//     A failure is what stayed undone: a connection that was not made, a message without an answer, a subscriber that did not reach the end.
//   - The chain of prev is always checked. With Options.Verify every subscriber's every message is, by verify.Ledger.
//   - How busy the client itself was stands beside the result, and how late its own timers were: where it was the limit, the numbers are its own.
//
// A run is bounded: by Options.Timeout for each connection and for what is under way at the end, and by the limit of open files, which is looked at before anything
// is begun. When its context ends it stops, and reports what was measured.
package load
