package virtboard_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// BenchmarkTFTP is a transfer in lock step by U-Boot: the round trip counts.
func BenchmarkTFTP(b *testing.B) {
	for _, arch := range []virtboard.Arch{virtboard.ARM64, virtboard.ARM} {
		b.Run(string(arch), func(b *testing.B) {
			board := newBoard(b, virtboard.Config{Arch: arch})
			dir := b.TempDir()
			data := make([]byte, 8<<20)
			rand.Read(data)
			if err := os.WriteFile(filepath.Join(dir, "file"), data, 0o644); err != nil {
				b.Fatal(err)
			}
			serveTFTP(b, board.Network(), dir)
			term := openTerminal(b, board)
			powerOn(b, board)
			term.uboot()
			term.run("setenv autoload no; dhcp; setenv serverip 192.168.127.1")
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				term.load("0x42000000", dir, "file")
			}
		})
	}
}

// BenchmarkHTTP is a download by busybox: the emulated CPU and the copies count.
func BenchmarkHTTP(b *testing.B) {
	for _, arch := range []virtboard.Arch{virtboard.ARM64, virtboard.ARM} {
		b.Run(string(arch), func(b *testing.B) {
			board := newBoard(b, virtboard.Config{Arch: arch})
			dir := writeBundle(b, board, arch, debian.Login{})
			serveTFTP(b, board.Network(), dir)
			const size = 64 << 20
			serveHTTP(b, board.Network(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(size))
				io.CopyN(w, zeros{}, size)
			}))
			term := boot(b, board, arch, dir, debian.LoadAddresses(arch).DTB)
			term.expect("/ # ")
			term.must("udhcpc -n -q -i eth0")
			b.SetBytes(size)
			for b.Loop() {
				term.must("wget -q -O /dev/null http://192.168.127.1/")
			}
		})
	}
}
