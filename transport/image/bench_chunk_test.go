package image_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

// BenchmarkChunkSize measures what the size of chunks changes, on 300 MB of real
// binaries, and is what DefaultChunkSize was chosen by:
//
//   - prepare-MB/s: preparing from a zstd file, the fastest to decode
//   - check-MB/s: busybox comparing all chunks, dd and sha256sum for each, as a
//     board does; a board with a slow CPU pays more for the processes
//   - sent-%: of the image, when 30 places of a few kilobytes were changed, as
//     configuration files and logs are
//   - upgrade-%: likewise when ten stretches of 1 MB were, as programs are
//   - map-KB: digests and offsets of all chunks
func BenchmarkChunkSize(b *testing.B) {
	zstd := testtool.Need(b, "zstd", "apt-get install zstd")
	busybox := testtool.Need(b, "busybox", "apt-get install busybox-static")
	path := corpus(b)
	raw, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	packed := filepath.Join(b.TempDir(), "image.zst")
	if out, err := exec.Command(zstd, "-q", path, "-o", packed).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	few, upgrade := changed(raw, 30, 8<<10), changed(raw, 10, 1<<20)
	for _, size := range []int64{1, 2, 4, 8, 16} {
		b.Run(fmt.Sprintf("%dMiB", size), func(b *testing.B) {
			size := size << 20
			prepare := func(path string) *image.Prepared {
				src, err := image.Open(path)
				if err != nil {
					b.Fatal(err)
				}
				p, err := image.Prepare(b.Context(), src, image.WithChunkSize(size), image.WithCacheDir(b.TempDir()))
				if err == nil {
					err = p.Wait(b.Context())
				}
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { p.Close() })
				return p
			}
			took, checked := time.Duration(1<<62), time.Duration(1<<62)
			var p *image.Prepared
			for b.Loop() {
				for range 3 {
					start := time.Now()
					p = prepare(packed)
					took = min(took, time.Since(start))
					start = time.Now()
					script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do busybox dd if=%s bs=%d skip=$i count=1 2>/dev/null | busybox sha256sum; i=$((i+1)); done",
						len(p.Chunks()), path, size)
					if out, err := exec.Command(busybox, "sh", "-c", script).CombinedOutput(); err != nil {
						b.Fatalf("%v: %s", err, out)
					}
					checked = min(checked, time.Since(start))
				}
			}
			mbps := func(d time.Duration) float64 { return float64(len(raw)) / 1e6 / d.Seconds() }
			b.ReportMetric(mbps(took), "prepare-MB/s")
			b.ReportMetric(mbps(checked), "check-MB/s")
			b.ReportMetric(differs(b, p, few), "sent-%")
			b.ReportMetric(differs(b, p, upgrade), "upgrade-%")
			b.ReportMetric(float64(len(p.Chunks())*(32+16))/1e3, "map-KB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// changed says which stretches of raw are other bytes now: n of them, of the
// given size, at random places.
func changed(raw []byte, n int, size int64) []image.Extent {
	r := rand.New(rand.NewPCG(3, 4))
	var all []image.Extent
	for range n {
		all = append(all, image.Extent{Offset: r.Int64N(int64(len(raw)) - size), Size: size})
	}
	return all
}

// differs returns what of p is in chunks that some of the stretches touch, in
// percent.
func differs(b *testing.B, p *image.Prepared, stretches []image.Extent) float64 {
	b.Helper()
	var sum int64
	for _, c := range p.Chunks() {
		for _, s := range stretches {
			if s.Offset < c.Offset+c.Size && c.Offset < s.Offset+s.Size {
				sum += c.Size
				break
			}
		}
	}
	return 100 * float64(sum) / float64(p.Size())
}
