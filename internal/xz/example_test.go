package xz_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/dutflash/dutflash/internal/xz"
)

// hello is what printf 'hello, DUT\n' | xz --check=crc32 writes.
const hello = "\xfd7zXZ\x00\x00\x01i\x22\xde6\x02\x00!\x01\x16\x00\x00\x00t/\xe5\xa3\x01\x00\x0ahello, DUT\x0a\x00\x00\xdbJ\x1f\x07\x00\x01\x1f\x0b=b\x0ez\x90B\x99\x0d\x01\x00\x00\x00\x00\x01YZ"

func ExampleNewReader() {
	r, err := xz.NewReader(strings.NewReader(hello), xz.Options{MemoryLimit: 64 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(os.Stdout, r); err != nil {
		log.Fatal(err)
	}
	// Output: hello, DUT
}

// A file that is cut off is refused before there is any output.
func ExampleNewReaderAt() {
	r, err := xz.NewReaderAt(strings.NewReader(hello[:40]), 40, xz.Options{})
	if err == nil {
		r.Close()
	}
	fmt.Println(errors.Is(err, xz.ErrTruncated))
	// Output: true
}
