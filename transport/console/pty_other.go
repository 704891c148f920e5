//go:build !unix

package console

import (
	"context"
	"fmt"

	expect "github.com/Netflix/go-expect"
)

// AttachPTY always fails here, wrapping [ErrNotSupported]: this operating
// system has no pseudo-terminals of the Unix kind.
func (c *Console) AttachPTY(context.Context) (*PTY, error) {
	return nil, c.fail("pty", nil, fmt.Errorf("opening a pseudo-terminal: %w", ErrNotSupported))
}

// ExpectConsole always fails here, wrapping [ErrNotSupported], because
// go-expect needs a pseudo-terminal.
func (c *Console) ExpectConsole(context.Context, ...expect.ConsoleOpt) (*expect.Console, error) {
	return nil, c.fail("pty", nil, fmt.Errorf("opening a pseudo-terminal for go-expect: %w", ErrNotSupported))
}
