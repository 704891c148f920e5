package uboot_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// load reads a file of testdata; its format is described in testdata/README.md.
func load(path string) (tr transcript, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return tr, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "#":
			tr.about = append(tr.about, rest)
		case "==":
			tr.events = append(tr.events, event{title: rest})
		case ">", "<":
			text, err := strconv.Unquote(rest)
			if err != nil {
				return tr, fmt.Errorf("%s:%d: %w", path, n, err)
			}
			tr.events = append(tr.events, event{typed: kind == ">", data: text})
		case "":
		default:
			return tr, fmt.Errorf("%s:%d: %q begins no line of a transcript", path, n, kind)
		}
	}
	return tr, lines.Err()
}

// TestTranscripts plays back what real builds printed: the same session, the same
// checks, and every byte that we type as it was recorded, whatever pieces the
// board's output arrives in.
func TestTranscripts(t *testing.T) {
	for _, b := range builds {
		tr, err := load(b.transcript())
		if err != nil {
			t.Fatal(err)
		}
		pieces := []int{0, 13}
		if b.name == "arm64" || b.name == "malta" {
			pieces = append(pieces, 1) // which takes longest
		}
		for _, piece := range pieces {
			t.Run(fmt.Sprintf("%s/%d", b.name, piece), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					port := newPlayback(tr, piece)
					c, err := console.New(port)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					dut := &scenario{T: t, build: b, con: c, full: true, heading: func(string) {}, options: []uboot.Option{fixedMarkers()}}
					dut.run()
					if err := port.end(); err != nil {
						t.Error(err)
					}
					for _, e := range tr.events {
						if e.typed && len(e.data) > 256 {
							t.Errorf("typed %d characters, which no line of U-Boot's takes: %q", len(e.data), e.data)
						}
					}
				})
			})
		}
	}
}
