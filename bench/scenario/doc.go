//go:build linux

// Package scenario says what is measured of a server, with a crowd of connections. Each scenario gives one [Result], in which the fields that it does not measure are zero.
package scenario
