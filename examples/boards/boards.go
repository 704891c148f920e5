// Package boards has an example board file, boards.yaml, and a test that loads it.
package boards
