package image_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

const corpusSize = 300 << 20

// corpus writes the programs and libraries of this machine one after the other
// until there are 300 MiB of them.
func corpus(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "corpus.raw")
	out, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	var size int64
	for _, root := range []string{"/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"} {
		filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || size >= corpusSize {
				return nil
			}
			f, err := os.Open(p)
			if err != nil {
				return nil
			}
			defer f.Close()
			n, _ := io.Copy(out, io.LimitReader(f, corpusSize-size))
			size += n
			return nil
		})
	}
	if size < corpusSize {
		b.Logf("this machine has only %d MiB of programs", size>>20)
	}
	return path
}

// BenchmarkDecode decodes the same files as Prepare does and with the C tool in
// turn, several times, and reports the best of each in MB/s of output, and the
// ratio of the two, for which issue 5 sets a goal. One iteration of -bench is
// one such run; what is packed without sizes in its headers is what an index is
// needed for.
func BenchmarkDecode(b *testing.B) {
	raw := corpus(b)
	st, err := os.Stat(raw)
	if err != nil {
		b.Fatal(err)
	}
	const xzPackage = "apt-get install xz-utils"
	threads := fmt.Sprintf("-T%d", runtime.GOMAXPROCS(0))
	for _, tc := range []struct {
		name, tool, how string
		pack, unpack    []string
		goal            float64
	}{
		{"xz-blocks", "xz", xzPackage, []string{"-6c", "-T2"}, []string{"-dc", threads}, 0.8},
		{"xz-blocks-without-sizes", "xz", xzPackage, []string{"-6c", "-T1", "--block-size=8MiB"}, []string{"-dc", threads}, 0.8},
		{"xz-9-blocks", "xz", xzPackage, []string{"-9c", "-T2", "--block-size=64MiB"}, []string{"-dc", threads}, 0.8},
		{"xz-one-block", "xz", xzPackage, []string{"-6c", "-T1"}, []string{"-dc", "-T1"}, 0.7},
		{"gzip", "gzip", "apt-get install gzip", []string{"-6c"}, []string{"-dc"}, 1.1},
		{"zstd", "zstd", "apt-get install zstd", []string{"-3", "-qc"}, []string{"-dqc"}, 0.75},
	} {
		b.Run(tc.name, func(b *testing.B) {
			tool := testtool.Need(b, tc.tool, tc.how)
			version, err := exec.Command(tool, "--version").Output()
			if err != nil {
				b.Fatal(err)
			}
			line, _, _ := strings.Cut(string(version), "\n")
			b.Logf("%s, %d CPUs, %d MB", line, runtime.GOMAXPROCS(0), st.Size()/1e6)
			packed := filepath.Join(b.TempDir(), "packed")
			out, err := os.Create(packed)
			if err != nil {
				b.Fatal(err)
			}
			cmd := exec.Command(tool, append(tc.pack, raw)...)
			cmd.Stdout = out
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
			out.Close()
			ours, theirs := time.Duration(1<<62), time.Duration(1<<62)
			for b.Loop() {
				for range 3 {
					ours = min(ours, timed(b, func() (int64, error) { return readFile(packed) }, st.Size()))
					theirs = min(theirs, timed(b, func() (int64, error) { return runTool(tool, append(tc.unpack, packed)) }, st.Size()))
				}
			}
			mbps := func(d time.Duration) float64 { return float64(st.Size()) / 1e6 / d.Seconds() }
			b.ReportMetric(mbps(ours), "MB/s")
			b.ReportMetric(mbps(theirs), "MB/s-"+tc.tool)
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
			b.ReportMetric(tc.goal, "goal")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func timed(b *testing.B, f func() (int64, error), want int64) time.Duration {
	b.Helper()
	start := time.Now()
	if n, err := f(); err != nil || n != want {
		b.Fatalf("%d bytes, want %d: %v", n, want, err)
	}
	return time.Since(start)
}

func readFile(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r, err := image.NewReader(f)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(io.Discard, struct{ io.Reader }{r})
}

// runTool counts what the tool writes into a pipe, which is how it is used.
func runTool(tool string, args []string) (int64, error) {
	cmd := exec.Command(tool, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{out}, make([]byte, 1<<20))
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	return n, err
}
