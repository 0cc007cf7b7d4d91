// Package contract holds the tests of the promises P1 to P6, by name, over real sockets. They are what README.md promises; none is loosened.
package contract
