//go:build !unix

package serial

import "io"

// lockPort does nothing: Windows opens a port for one program only.
func lockPort(string) (io.Closer, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) Close() error { return nil }
