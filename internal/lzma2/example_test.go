package lzma2_test

import (
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/dutflash/dutflash/internal/lzma2"
)

func ExampleDecoder() {
	var d lzma2.Decoder
	// Two chunks that are not compressed, and the end marker.
	d.Reset(strings.NewReader("\x01\x00\x04hello\x02\x00\x04, DUT\x00"), make([]byte, 64), lzma2.MinDict)
	for {
		p, err := d.Next(64)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s", p)
	}
	// Output: hello, DUT
}
