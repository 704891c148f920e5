package image_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/dutflash/dutflash/transport/image"
)

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write([]byte("bootloader"))
	w.Write(make([]byte, 10<<20))
	w.Close()
	path := filepath.Join(dir, "board.raw.gz")
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	src, err := image.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	p, err := image.Prepare(ctx, src, image.WithCacheDir(dir))
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	start := make([]byte, 10) // there long before the end is
	if _, err := p.ReadAt(start, 0); err != nil {
		log.Fatal(err)
	}
	if err := p.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %v, %d bytes\n", start, p.Formats(), p.Size())
	for _, c := range p.Chunks() {
		fmt.Println(c.Offset, c.Size, c.Zero)
	}
	// Output:
	// bootloader, [gzip raw], 10485770 bytes
	// 0 4194304 false
	// 4194304 4194304 true
	// 8388608 2097162 true
}

func ExampleNewReader() {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write([]byte("raw bytes of a disk"))
	w.Close()

	r, err := image.NewReader(&packed)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v %s\n", r.Formats(), raw)
	// Output: [gzip raw] raw bytes of a disk
}
