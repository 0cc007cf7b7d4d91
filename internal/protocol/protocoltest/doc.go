// Package protocoltest has what every protocol package is tested with.
//
// RunVectors plays the conversations of spec/vectors against a running server and fails with the first frame that is not as written; they
// define the native protocol together with spec/PROTOCOL.md, and the tests of this package keep the two the same: the document's whole
// conversations are rendered from vectors, and every frame and code of the document is in one.
//
// Run is the suite of promises that any protocol keeps, whatever its frames look like: order, resume, reset, refusal, a slow
// reader, a big message, a draining server. A protocol's tests give it a Harness.
package protocoltest
