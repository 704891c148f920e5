package debian

import (
	"bytes"
	"os"
	"strings"
)

// File is a file of this host for an initramfs of one's own.
type File struct {
	// Name is its path there.
	Name string
	// From is its path here. A link stands for what it points to.
	From string
}

// Pack packs files into an initramfs, as a cpio archive that is not compressed. They
// belong to root, who may run them all. The kernel's console is there, too.
func Pack(files []File) ([]byte, error) {
	var packed bytes.Buffer
	c := newCPIO(&packed)
	c.char("dev/console", 0o600, 5, 1)
	for _, f := range files {
		data, err := os.ReadFile(f.From)
		if err != nil {
			return nil, &Error{"pack an initramfs", err}
		}
		c.file(strings.TrimPrefix(f.Name, "/"), 0o755, data)
	}
	if err := c.close(); err != nil {
		return nil, &Error{"pack an initramfs", err}
	}
	return packed.Bytes(), nil
}
