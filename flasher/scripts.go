package flasher

import (
	"bytes"
	"embed"
	"fmt"
)

// scripts run on the board. They use nothing but what a small busybox has.
//
//go:embed scripts/*.sh
var scripts embed.FS

// script puts a script on the HTTP server and returns its URL for the board.
func (s *servers) script(name string) (string, error) {
	text, err := scripts.ReadFile("scripts/" + name)
	if err != nil {
		return "", fmt.Errorf("script %s: %w", name, err)
	}
	return s.text(name, text), nil
}

// text puts a file on the HTTP server and returns its URL for the board.
func (s *servers) text(name string, text []byte) string {
	s.http.File(name, bytes.NewReader(text), int64(len(text)))
	return s.url(name)
}
