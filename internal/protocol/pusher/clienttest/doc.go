// Package clienttest runs the clients and libraries that people use with Pusher against a whole server, by what they document. They come from npm in the versions of
// testdata/package-lock.json; .ci/deps installs them.
package clienttest
