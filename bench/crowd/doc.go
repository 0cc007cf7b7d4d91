//go:build linux

// Package crowd holds many connections to a server and counts what is delivered to them, as cheaply as that can be done from Go, so that a measurement shows the server and not its clients.
//
// One goroutine drives everything by one epoll loop and system calls that the scheduler does not hear of. In the steady state nothing is allocated: a delivery is found by its [Marker] in the bytes
// as they come, and its latency goes into a [Histogram].
// What is said on a connection is the business of a [Dialect]. A [Crowd] belongs to the goroutine that made it.
package crowd
