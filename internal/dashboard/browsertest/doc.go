// Package browsertest tests in a real browser, with the real server program, which is killed and started again: the playground as a person uses it, in two
// tabs, and pages that have nothing but an EventSource or fetch. There is nothing in it but tests.
package browsertest
