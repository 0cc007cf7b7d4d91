// Package websocket moves messages over WebSocket (RFC 6455), with two goroutines a connection: one reads, one writes.
//
// A message is one text or binary WebSocket message. Control frames are answered here. Messages up to Options.MessageBytes are handed over whole; larger
// ones up to twice that are read and thrown away, so that the handler can say so; larger still closes the connection with TooLargeCode.
package websocket
