package xz_test

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	ulikunitz "github.com/ulikunitz/xz"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/xz"
)

// benchMB is the environment variable with the size of the benchmark's image
// in MB; the ratios that issue 5 asks for are those of 300.
const benchMB = "DUTFLASH_BENCH_MB"

// benchImage writes an image of real binaries, as much as there are, and
// returns its path and size.
func benchImage(b *testing.B) (string, int64) {
	b.Helper()
	mb := 48
	if s := os.Getenv(benchMB); s != "" {
		var err error
		if mb, err = strconv.Atoi(s); err != nil {
			b.Fatalf("%s: %v", benchMB, err)
		}
	}
	path := filepath.Join(b.TempDir(), "image")
	out, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	left := int64(mb) * 1e6
	for _, dir := range []string{"/usr/bin", "/usr/lib", "/usr/local"} {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || left == 0 {
				return nil // what cannot be read is left out
			}
			f, err := os.Open(path)
			if err != nil {
				return nil
			}
			defer f.Close()
			magic := make([]byte, 4)
			if io.ReadFull(f, magic); string(magic) != "\x7fELF" {
				return nil
			}
			n, err := io.Copy(out, io.LimitReader(io.MultiReader(bytes.NewReader(magic), f), left))
			left -= n
			return err
		})
	}
	if left > 0 {
		b.Skipf("there are not %d MB of ELF files in /usr; set %s lower", mb, benchMB)
	}
	return path, int64(mb) * 1e6
}

// BenchmarkReader decodes the same file with our readers, the C xz and
// ulikunitz/xz in turn, several times, and reports the best of each in MB/s of
// output beside each other, and ours as a ratio of the C tool's.
func BenchmarkReader(b *testing.B) {
	tool := testtool.Need(b, "xz", "apt-get install xz-utils")
	image, size := benchImage(b)
	version, err := exec.Command(tool, "--version").Output()
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%s, %d CPUs, image of %d MB", strings.ReplaceAll(strings.TrimSpace(string(version)), "\n", ", "), runtime.GOMAXPROCS(0), size/1e6)
	threads := "-T" + strconv.Itoa(runtime.GOMAXPROCS(0))
	for _, test := range []struct{ name, pack, unpack string }{
		// Blocks of a size at which every CPU has several in any image.
		{"blocks", "-6 --block-size=8MiB -T2", threads},
		{"blocks-preset", "-6 -T2", threads},
		{"one-block", "-6 -T1", "-T1"},
	} {
		b.Run(test.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "image.xz")
			cmd := exec.Command(tool, append(strings.Fields(test.pack), "-c", image)...)
			file, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			cmd.Stdout = file
			if err := cmd.Run(); err != nil {
				b.Fatalf("xz %s: %v", test.pack, err)
			}
			benchFile(b, tool, test.unpack, path, size)
		})
	}
}

// contender is one way to decode a file; it returns the output's length.
type contender struct {
	name   string
	decode func(file *os.File) (int64, error)
}

func benchFile(b *testing.B, tool, threads, path string, size int64) {
	contenders := []contender{
		{"stream", func(f *os.File) (int64, error) {
			r, err := xz.NewReader(f, xz.Options{})
			if err != nil {
				return 0, err
			}
			defer r.Close()
			return io.Copy(io.Discard, r)
		}},
		{"indexed", func(f *os.File) (int64, error) {
			st, err := f.Stat()
			if err != nil {
				return 0, err
			}
			r, err := xz.NewReaderAt(f, st.Size(), xz.Options{})
			if err != nil {
				return 0, err
			}
			defer r.Close()
			return io.Copy(io.Discard, r)
		}},
		{"xz", func(f *os.File) (int64, error) {
			cmd := exec.Command(tool, "-dc", threads)
			cmd.Stdin = f // and the output goes to /dev/null
			return size, cmd.Run()
		}},
		{"ulikunitz", func(f *os.File) (int64, error) {
			r, err := ulikunitz.NewReader(f)
			if err != nil {
				return 0, err
			}
			return io.Copy(io.Discard, r)
		}},
	}
	best := make([]float64, len(contenders))
	for b.Loop() {
		// In turn, so that whatever else the machine does hits all alike.
		for i, c := range contenders {
			if c.name == "ulikunitz" && best[i] > 0 {
				continue // once is enough for the slow one
			}
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			start := time.Now()
			n, err := c.decode(f)
			took := time.Since(start)
			f.Close()
			if err != nil || n != size {
				b.Fatalf("%s: %d of %d bytes, %v", c.name, n, size, err)
			}
			best[i] = max(best[i], float64(size)/1e6/took.Seconds())
		}
	}
	for i, c := range contenders {
		b.ReportMetric(best[i], c.name+"-MB/s")
	}
	b.ReportMetric(max(best[0], best[1])/best[2], "of-xz")
	b.ReportMetric(0, "ns/op") // of no meaning: it is all contenders together
}
