// Package server puts the rooms together: it opens the log, listens, routes, and drains.
//
// Start order: listen (so that a port in use is found first), open the log, serve. Shutdown order: stop accepting, ask every session to go away at a
// time of its own within the drain window, close what is left, close the log. Connections that exist are served until their time comes.
package server
