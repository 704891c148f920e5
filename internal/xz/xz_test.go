package xz_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/xz"
)

// plain returns what the tests compress: machine code, zeros, text-like and
// random bytes.
var plain = sync.OnceValue(func() []byte {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	code, err := os.ReadFile(exe)
	if err != nil {
		panic(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 80_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	b := append([]byte(nil), code[:min(len(code), 500_000)]...)
	b = append(b, make([]byte, 100_000)...)
	b = append(b, noise...)
	for i := range 6_000 {
		b = fmt.Appendf(b, "line %d of some text\n", i*i)
	}
	return append(b, b[100_000:150_001]...)
})

// compress runs the C xz.
func compress(tb testing.TB, data []byte, args ...string) []byte {
	tb.Helper()
	cmd := exec.Command(testtool.Need(tb, "xz", "apt-get install xz-utils"), append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("xz %v: %v: %s", args, err, stderr.String())
	}
	return out
}

// open is one of the ways to read a file.
type open struct {
	name string
	open func(b []byte, opts xz.Options) (io.ReadCloser, error)
}

var opens = []open{
	{"stream", func(b []byte, opts xz.Options) (io.ReadCloser, error) {
		return xz.NewReader(bytes.NewReader(b), opts)
	}},
	{"indexed", func(b []byte, opts xz.Options) (io.ReadCloser, error) {
		return xz.NewReaderAt(bytes.NewReader(b), int64(len(b)), opts)
	}},
}

// readAll reads b to its end, and closes.
func (o open) readAll(b []byte, opts xz.Options) ([]byte, error) {
	r, err := o.open(b, opts)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestAgainstXZ(t *testing.T) {
	tests := []string{
		"-0", "-1", "-2", "-3", "-4", "-5", "-6", "-7", "-8", "-9", "-6e", "-9e",
		"-T2 --block-size=120000",
		"-T2 -9 --block-size=500000",
		"-T1 --block-size=120000",
		"-T1 --block-list=100000,1,3,300000,0",
		"--check=none", "--check=crc32", "--check=crc64", "--check=sha256",
		"-T2 --check=none --block-size=250000",
		"-T2 --check=sha256 --block-size=250000",
		"--lzma2=preset=6,lc=0,lp=0,pb=0",
		"--lzma2=preset=6,lc=4,lp=0,pb=4",
		"--lzma2=preset=6,lc=0,lp=4,pb=1",
		"--lzma2=preset=6,lc=2,lp=2,pb=3",
		"--lzma2=preset=1,dict=4KiB",
		"--lzma2=preset=6,dict=64KiB,nice=273",
		"-T2 --block-size=250000 --lzma2=preset=6,dict=96KiB",
		"--x86 --lzma2", "--arm --lzma2", "--armthumb --lzma2", "--arm64 --lzma2",
		"--powerpc --lzma2", "--sparc --lzma2",
		"--x86=start=4096 --lzma2", "--arm64=start=65536 --lzma2",
		"--delta --lzma2", "--delta=dist=256 --lzma2", "--delta=dist=4 --x86 --lzma2",
		"-T2 --block-size=120000 --x86 --lzma2=dict=64KiB",
	}
	for _, args := range tests {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			b := compress(t, plain(), strings.Fields(args)...)
			for _, o := range opens {
				got, err := o.readAll(b, xz.Options{})
				if err != nil {
					t.Errorf("%s: %v", o.name, err)
				} else if !bytes.Equal(got, plain()) {
					t.Errorf("%s: the output differs", o.name)
				}
			}
		})
	}
}

func TestWorkers(t *testing.T) {
	for _, args := range []string{"-T2 --block-size=50000", "-T1 --block-size=50000", "-T2 --block-size=200000 --arm --lzma2"} {
		b := compress(t, plain(), strings.Fields(args)...)
		for _, o := range opens {
			for _, workers := range []int{1, 2, 3, 20} {
				got, err := o.readAll(b, xz.Options{Workers: workers})
				if err != nil || !bytes.Equal(got, plain()) {
					t.Errorf("%s: %s with %d workers: %d bytes, %v", args, o.name, workers, len(got), err)
				}
			}
		}
	}
}

func TestConcatenated(t *testing.T) {
	one := compress(t, []byte("one "), "--check=crc32")
	two := compress(t, []byte("two "), "--check=sha256", "-T2")
	none := compress(t, nil)
	pad := make([]byte, 8)
	for _, test := range []struct {
		name  string
		parts [][]byte
		want  string
	}{
		{"two streams", [][]byte{one, two}, "one two "},
		{"padding between", [][]byte{one, pad, two, one}, "one two one "},
		{"padding behind", [][]byte{two, pad, pad[:4]}, "two "},
		{"much padding", [][]byte{one, make([]byte, 40_000), two, make([]byte, 400_000)}, "one two "},
		{"empty", [][]byte{none}, ""},
		{"empty streams", [][]byte{none, pad, none, one, none, none}, "one "},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := bytes.Join(test.parts, nil)
			for _, o := range opens {
				got, err := o.readAll(b, xz.Options{})
				if err != nil || string(got) != test.want {
					t.Errorf("%s: %q, %v", o.name, got, err)
				}
			}
		})
	}
}
