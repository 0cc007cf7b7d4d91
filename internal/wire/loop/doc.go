// Package loop drives connections whose bytes a Machine makes sense of: on Linux many by one goroutine that never waits for any of them (a Loop), elsewhere, and
// where there is no file descriptor, each by two goroutines of its own (Serve).
//
// Guarantees, for both:
//
//   - Input and Deliver of a Machine are called one at a time, and so is Output, but beside those. Only Deliver, and Output with wait, may block.
//   - Between Input saying stop and Deliver's return nothing more is read from the peer.
//   - Output is asked for more only when the socket has taken what came before. What it gave and the socket did not take is all that is kept for a slow peer.
//   - Closed is called exactly once, and no Output is asked for after it. It may be called while a Deliver runs.
//
// An idle connection of a Loop is one allocation and a file descriptor: no goroutine, no buffer, no timer. A Loop has two goroutines: one waits for the kernel
// (epoll, edge-triggered: one registration for the life of a connection) and reads, one writes. Reading ends where a Machine has a whole message, which a goroutine
// borrowed for it takes care of; writing that would have to wait, say for a log, goes on in another, of which there is a bounded number.
//
// Lock order: none of the locks here is held while another is taken or a Machine is called.
package loop
