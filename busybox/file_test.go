//go:build unix

package busybox_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// noise is data that no terminal would let through as it is.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestUploadAndDownload(t *testing.T) {
	s := loggedIn(t)
	for _, tc := range []struct {
		name string
		data []byte
	}{
		{"empty", nil},
		{"one byte", []byte{0}},
		{"text", []byte("#!/bin/sh\necho 'hi'\n")},
		{"one block", noise(2250)},
		{"many blocks", noise(60_000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := "file 'with' blanks"
			if err := s.Upload(ctx(t), path, tc.data); err != nil {
				t.Fatal(err)
			}
			got, err := s.Download(ctx(t), path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, tc.data) {
				t.Errorf("got %d bytes back, want the %d that went up", len(got), len(tc.data))
			}
			if left := run(t, s, "ls *.part 2>/dev/null; :"); left != "" {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}
