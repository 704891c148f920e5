package extents_test

import (
	"bytes"
	"crypto/sha256"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/internal/testtool"
)

// BenchmarkManyPieces writes and proves 500 pieces of 8 KiB, as the block map of
// a fragmented file system has them: what counts is the cost of a task.
func BenchmarkManyPieces(b *testing.B) {
	busybox := testtool.Need(b, "busybox", "apt-get install busybox-static")
	const n, size, step = 500, 8 << 10, 32 << 10
	image := bytes.Repeat([]byte{7}, n*step)
	var chunks []extents.Chunk
	for i := range n {
		chunks = append(chunks, extents.Chunk{Offset: int64(i) * step, Size: size, SHA256: sha256.Sum256(image[:size])})
	}
	for b.Loop() {
		p, err := extents.New(extents.Config{Chunks: chunks, Image: bytes.NewReader(image)})
		if err != nil {
			b.Fatal(err)
		}
		srv := httptest.NewServer(p.Handler())
		disk := filepath.Join(b.TempDir(), "disk")
		if err := os.WriteFile(disk, make([]byte, len(image)), 0o600); err != nil {
			b.Fatal(err)
		}
		for more := true; more; more = p.ReadBack() {
			cmd := exec.CommandContext(b.Context(), busybox, "sh", "-s", disk, srv.URL, "", "", "", "reader", "writer")
			cmd.Stdin, cmd.Env = bytes.NewReader(extents.Script()), []string{"PATH="}
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("script: %v\n%s", err, out)
			}
		}
		srv.Close()
		if s := p.Stats(); s.Proved != n*size {
			b.Fatalf("%+v", s)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/n, "ms/piece")
}
