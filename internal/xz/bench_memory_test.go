package xz_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/xz"
)

// The child that BenchmarkMemory starts is the test binary itself, which finds
// in these what it has to do.
const (
	peakFile = "DUTFLASH_XZ_PEAK_FILE"
	peakMode = "DUTFLASH_XZ_PEAK_MODE"
)

// BenchmarkMemory reports the peak memory of a process that decodes what xz -9
// with two threads writes: blocks of 192 MiB with a dictionary of 64 MiB, three
// and a bit of them. It needs Linux for the kernel's account of the peak.
func BenchmarkMemory(b *testing.B) {
	tool := testtool.Need(b, "xz", "apt-get install xz-utils")
	testtool.NeedFile(b, "/proc/self/status", "running the benchmark on Linux")
	image, size := benchImage(b)
	path := filepath.Join(b.TempDir(), "image.xz")
	// The level has no influence on the decoder's memory, so the fastest does.
	cmd := exec.Command(tool, "-c", "-T2", "--block-size=192MiB", "--lzma2=preset=0,dict=64MiB")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var parts []io.Reader
	for total := int64(0); total < 600<<20; total += size {
		f, err := os.Open(image)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		parts = append(parts, f)
	}
	cmd.Stdin, cmd.Stdout = io.MultiReader(parts...), file
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	for _, o := range opens {
		b.Run(o.name, func(b *testing.B) {
			var peak int64
			for b.Loop() {
				cmd := exec.Command(os.Args[0], "-test.run=^TestPeakChild$", "-test.v")
				cmd.Env = append(os.Environ(), peakFile+"="+path, peakMode+"="+o.name)
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				_, kib, _ := strings.Cut(string(out), "VmHWM:")
				var n int64
				if _, err := fmt.Sscan(kib, &n); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				peak = max(peak, n*1024)
			}
			if peak >= 256e6 {
				b.Errorf("%d bytes, issue 5 allows 256 MB", peak)
			}
			b.ReportMetric(float64(peak)/1e6, "peak-MB")
		})
	}
}

// TestPeakChild is the child of BenchmarkMemory.
func TestPeakChild(t *testing.T) {
	path := os.Getenv(peakFile)
	if path == "" {
		return // no test of its own: it is the child process of BenchmarkMemory
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.ReadCloser
	if os.Getenv(peakMode) == "indexed" {
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		r, err = xz.NewReaderAt(f, st.Size(), xz.Options{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
	} else if r, err = xz.NewReader(f, xz.Options{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmHWM:") {
			fmt.Print(line)
		}
	}
}
