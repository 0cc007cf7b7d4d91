// Package browsertest tests the playground as a person uses it: a real browser, two tabs, and the real server program, which is killed
// and started again. There is nothing in it but tests.
package browsertest
