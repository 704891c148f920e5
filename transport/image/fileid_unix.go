//go:build !windows

package image

import (
	"fmt"
	"io/fs"
	"syscall"
)

// fileID tells a file from another that took its name.
func fileID(st fs.FileInfo) string {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
	}
	return ""
}
