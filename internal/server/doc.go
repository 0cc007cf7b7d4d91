// Package server puts the rooms together: it opens the log, listens, routes, and drains.
//
// Start order: listen (so that a port in use is found first), read the certificates, open the log, serve. Shutdown order: say that it is not ready for
// the drain delay, stop accepting, ask every session to go away at a time of its own within the drain window (which no webhook takes for leaving), close what is left, the outbox, and the log.
// Connections that exist are served until their time comes.
//
// A public connection passes, from the socket on: admission (counted, or marked as refused), the PROXY protocol where the listener is for it, TLS, and the
// handlers of New. What Reload replaces is in settings, which every request reads anew.
package server
