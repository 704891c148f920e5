package xz_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dutflash/dutflash/internal/xz"
)

// noGoroutines fails the test if goroutines of this package are left.
func noGoroutines(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	// Without Close they end on their own, and even after it a goroutine needs a
	// moment more to vanish.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); runtime.Gosched() {
		if !bytes.Contains(buf[:runtime.Stack(buf, true)], []byte("internal/xz.(*reader)")) {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", buf[:runtime.Stack(buf, true)])
}

func TestClose(t *testing.T) {
	for _, args := range [][]string{
		{"-T2", "--block-size=100000"}, {"-T1"}, {"-T1", "--block-size=100000", "--lzma2=dict=64KiB"},
		{"-T2", "--block-size=500000", "--x86", "--lzma2=dict=64KiB"},
	} {
		b := compress(t, plain(), args...)
		for _, o := range opens {
			for _, read := range []int{0, 1, 150_000} {
				r, err := o.open(b, xz.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.CopyN(io.Discard, r, int64(read)); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				}
				if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, xz.ErrClosed) {
					t.Errorf("%v %s: read after Close: %d, %v", args, o.name, n, err)
				}
			}
		}
	}
	noGoroutines(t)
}

// TestCloseWhileReading closes while another goroutine waits for output that
// does not come because the source stalls.
func TestCloseWhileReading(t *testing.T) {
	for _, args := range [][]string{{"-T2", "--block-size=100000"}, {"-T1"}} {
		b := compress(t, plain(), args...)
		pr, pw := io.Pipe()
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			pw.Write(b[:len(b)/2]) // fails when the test is over
		}()
		r, err := xz.NewReader(pr, xz.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, r)
			ended <- err
		}()
		<-fed
		closed := make(chan struct{})
		go func() { r.Close(); close(closed) }()
		if err := <-ended; !errors.Is(err, xz.ErrClosed) {
			t.Errorf("%v: %v", args, err)
		}
		pr.CloseWithError(io.ErrClosedPipe) // what a caller does to unblock it
		<-closed
	}
	noGoroutines(t)
}

func TestEndLeavesNothing(t *testing.T) {
	b := compress(t, plain(), "-T2", "--block-size=100000")
	for _, o := range opens {
		r, err := o.open(b, xz.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		noGoroutines(t) // without Close
		r.Close()

		b[len(b)/2] ^= 1
		if r, err = o.open(b, xz.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err == nil {
			t.Error("no error")
		}
		noGoroutines(t)
		r.Close()
		b[len(b)/2] ^= 1
	}
}

func TestSmallReads(t *testing.T) {
	b := compress(t, plain()[:300_000], "-T2", "--block-size=70000", "--lzma2=dict=4KiB")
	r, err := xz.NewReader(iotest.OneByteReader(bytes.NewReader(b)), xz.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := iotest.TestReader(r, plain()[:300_000]); err != nil {
		t.Error(err)
	}
}

// TestMemoryLimit decodes with every limit that can work, and finds that the
// others are refused.
func TestMemoryLimit(t *testing.T) {
	data := slices.Concat(plain(), plain()[:300_000])
	for _, args := range [][]string{
		{"-T2", "--block-size=500000", "--lzma2=dict=256KiB"},
		{"-T1", "--block-size=500000", "--lzma2=dict=256KiB"},
		{"-T2", "--block-size=500000", "--x86", "--lzma2=dict=256KiB"},
		{"-T2", "--block-size=30000", "--lzma2=dict=256KiB"},
		{"-T2", "--block-list=10000,400000,1,500000,10000,10000,50000,0", "--lzma2=dict=256KiB"},
	} {
		b := compress(t, data, args...)
		for _, o := range opens {
			refused := false
			for limit := int64(3 << 20); limit >= 100_000; limit = limit / 2 {
				got, err := o.readAll(b, xz.Options{MemoryLimit: limit, Workers: 2})
				refused = refused || errors.Is(err, xz.ErrMemoryLimit)
				switch {
				case refused != (err != nil) || refused && !errors.Is(err, xz.ErrMemoryLimit):
					t.Errorf("%v %s: limit %d: %v", args, o.name, limit, err)
				case err == nil && !bytes.Equal(got, data):
					t.Errorf("%v %s: limit %d: the output differs", args, o.name, limit)
				case err != nil && limit > 2<<20:
					t.Errorf("%v %s: limit %d: %v", args, o.name, limit, err)
				}
			}
			if !refused {
				t.Errorf("%v %s: no limit was refused", args, o.name)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for _, opts := range []xz.Options{{Workers: -1}, {MemoryLimit: -1}} {
		for _, o := range opens {
			if _, err := o.open(nil, opts); err == nil || known(err) {
				t.Errorf("%s %+v: %v", o.name, opts, err)
			}
		}
	}
}

func TestLZMA(t *testing.T) {
	b := compress(t, plain(), "--format=lzma")
	read := func(b []byte, opts xz.Options) ([]byte, error) {
		r, err := xz.NewLZMAReader(bytes.NewReader(b), opts)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	if got, err := read(b, xz.Options{}); err != nil || !bytes.Equal(got, plain()) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for i := range 10 {
		if _, err := read(b[:len(b)*i/10], xz.Options{}); !errors.Is(err, xz.ErrTruncated) {
			t.Errorf("cut at %d0 %%: %v", i, err)
		}
	}
	if _, err := read(append(bytes.Clone(b), 0), xz.Options{}); !errors.Is(err, xz.ErrCorrupt) {
		t.Errorf("with a byte behind it: %v", err)
	}
	if _, err := read(b, xz.Options{MemoryLimit: 1 << 20}); !errors.Is(err, xz.ErrMemoryLimit) {
		t.Errorf("with a low limit: %v", err)
	}
}
