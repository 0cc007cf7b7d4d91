// Package certificate finds the certificates that TLS connections are answered with: from two files, or from a certificate authority that is asked by
// ACME (RFC 8555).
//
//   - A certificate changes under the connections that are there without their notice; new handshakes get the new one.
//   - A pair of files that is broken never replaces one that works.
//   - TLS 1.2 is the oldest version; the cipher suites are those that crypto/tls chooses.
package certificate
