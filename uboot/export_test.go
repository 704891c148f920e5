package uboot

import (
	"io"
	"net/netip"
)

// WithMarkerSource replaces the random numbers that markers are made of, so that
// a recorded session can be played back.
func WithMarkerSource(r io.Reader) Option {
	return func(c *config) error {
		c.random = r
		return nil
	}
}

// Assume makes a session that has been at the prompt for a while.
func (s *Session) Assume(prompt string, hush bool) { s.prompt, s.hush = prompt, hush }

// ParseURL is what LoadWget makes of a URL.
func ParseURL(text string) (host netip.Addr, port uint16, path string, err error) {
	a, err := parseURL(text)
	return a.host, a.port, a.path, err
}
