// Package admission decides how many connections and sessions begin, so that those that are there do not notice a crowd at the door.
//
//   - Beyond Limits.Connections a connection is answered with an error and closed; it never comes so far that accept has no file descriptor left.
//   - Handshakes are paced: a session that begins, or a TLS connection, waits for its turn, and is refused if that would take long. What is long depends on the client:
//     one that cannot be told when to come back, and would be back in a moment, had better wait.
//   - One address begins only so many connections and sessions in a second. Proxies and this machine itself do not count as one address.
//   - What is kept of clients is bounded, however many there are.
//
// A refusal says when to come back, each at another time.
package admission
