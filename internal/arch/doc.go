// Package arch holds tests that keep the project's arrows: which room may import which, and that documents name things that exist.
package arch
