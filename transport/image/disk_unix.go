//go:build !windows

package image

import (
	"errors"
	"os"
	"syscall"
)

func diskFull(err error) bool { return errors.Is(err, syscall.EDQUOT) }

// makeSparse has nothing to do: a gap between writes is a hole.
func makeSparse(*os.File) error { return nil }
