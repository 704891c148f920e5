// Package console is an expect engine over a serial console, or any other
// io.ReadWriteCloser.
package console
