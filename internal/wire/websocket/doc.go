// Package websocket moves messages over WebSocket (RFC 6455), on the loops of a loop.Group, or with two goroutines a connection where there is none.
//
// A message is one text or binary WebSocket message. Control frames are answered here. Messages up to Options.MessageBytes are handed over whole; larger
// ones up to twice that are read and thrown away, so that the handler can say so; larger still closes the connection with TooLargeCode.
//
// Against peers that mean harm: a message has a bounded number of fragments, and a time in which it must be complete; of a compressed one (RFC 7692) no more is
// inflated than is handed over or told of; only the newest ping is answered; what is wrong is said in a close frame before the connection ends.
package websocket
