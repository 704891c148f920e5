// Package hardware has a suite of tests for a board on the desk, as an example: see
// its test file.
package hardware
