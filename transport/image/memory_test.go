package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

const memoryEnv = "DUTFLASH_IMAGE_TEST_MEMORY"

// TestMemoryInAnotherProcess is the other process of the test and the benchmark
// below: it prepares an image, which four readers follow, and says what memory
// that took at most.
func TestMemoryInAnotherProcess(t *testing.T) {
	path := os.Getenv(memoryEnv)
	if path == "" {
		return // no test of its own: it runs as a child of TestMemoryOfFourReaders and BenchmarkMemory
	}
	p, err := image.Prepare(t.Context(), open(t, path), image.WithCacheDir(t.TempDir()), image.WithWorkers(2))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			b := make([]byte, 256<<10)
			for off := int64(0); ; {
				n, err := p.ReadAt(b, off)
				off += int64(n)
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("heap: %d\n", m.HeapSys) // that was ever asked for: it never shrinks
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var n int64
			fmt.Sscan(kb, &n)
			fmt.Printf("peak: %d\n", n*1024)
		}
	}
}

// memory runs that process and returns one of its figures in bytes.
func memory(tb testing.TB, path, what string) int64 {
	tb.Helper()
	child := exec.CommandContext(tb.Context(), os.Args[0], "-test.run=^TestMemoryInAnotherProcess$", "-test.v")
	child.Env = append(os.Environ(), memoryEnv+"="+path)
	out, err := child.CombinedOutput()
	if err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	_, rest, ok := strings.Cut(string(out), what+": ")
	var n int64
	if _, err := fmt.Sscan(rest, &n); !ok || err != nil {
		tb.Fatalf("no %s in %q", what, out)
	}
	return n
}

// TestMemoryOfFourReaders holds preparing and serving an image of several blocks
// of 24 MiB, as xz -6 makes them, and a raw one, below the 128 MB that a host
// may spend on four boards. It counts the heap, which the race detector does
// not blow up as it does the process.
func TestMemoryOfFourReaders(t *testing.T) {
	raw := bytes.Repeat(rawImage(mib), 60)
	for _, f := range []struct {
		name string
		b    []byte
	}{
		{"xz", pack(t, packer{"xz", "xz", "apt-get install xz-utils", []string{"-T2", "--lzma2=preset=0,dict=8MiB", "--block-size=24MiB", "-c"}}, raw)},
		{"raw", raw},
	} {
		t.Run(f.name, func(t *testing.T) {
			if n := memory(t, writeFile(t, "i", f.b), "heap"); n >= 128e6 {
				t.Errorf("a heap of %d bytes", n)
			}
		})
	}
}

// BenchmarkMemory reports the peak memory of a process that prepares 600 MB of
// real binaries for four readers, and fails above what issues 5 and 6 allow:
// 256 MB for what xz -9 writes with two threads, blocks of 192 MiB with a
// dictionary of 64 MiB, and 128 MB for everything else. It needs Linux for the
// kernel's account of the peak.
func BenchmarkMemory(b *testing.B) {
	testtool.NeedFile(b, "/proc/self/status", "running the benchmark on Linux")
	raw := corpus(b)
	for _, tc := range []struct {
		name  string
		pack  []string // the level has no influence on the decoder's memory, so the fastest does
		limit float64
	}{
		{"xz-9-blocks", []string{"xz", "-c", "-T2", "--block-size=192MiB", "--lzma2=preset=0,dict=64MiB"}, 256e6},
		{"xz-6-blocks", []string{"xz", "-c", "-T2", "--block-size=24MiB", "--lzma2=preset=0,dict=8MiB"}, 128e6},
		{"gzip", []string{"gzip", "-1c"}, 128e6},
		{"zstd", []string{"zstd", "-qc"}, 128e6},
		{"raw", []string{"cat"}, 128e6},
	} {
		b.Run(tc.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "image")
			file, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			cmd := exec.Command(tc.pack[0], tc.pack[1:]...)
			var parts []io.Reader
			for range 2 {
				f, err := os.Open(raw)
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				parts = append(parts, f)
			}
			cmd.Stdin, cmd.Stdout = io.MultiReader(parts...), file
			if err := cmd.Run(); err != nil {
				b.Fatalf("%v: %v", tc.pack, err)
			}
			var peak int64
			for b.Loop() {
				peak = max(peak, memory(b, path, "peak"))
			}
			if float64(peak) >= tc.limit {
				b.Errorf("%d bytes", peak)
			}
			b.ReportMetric(float64(peak)/1e6, "peak-MB")
			b.ReportMetric(tc.limit/1e6, "limit-MB")
		})
	}
}
