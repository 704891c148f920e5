package disk_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/disk"
)

const mib = 1 << 20

func newDisk(t *testing.T, size int64) *disk.Disk {
	t.Helper()
	d, err := disk.New(size)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

func read(t *testing.T, d *disk.Disk, off int64, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := d.ReadAt(b, off); err != nil {
		t.Fatalf("read %d at %d: %v", n, off, err)
	}
	return b
}

func TestSizes(t *testing.T) {
	for _, size := range []int64{0, -512, 100} {
		if _, err := disk.New(size); err == nil {
			t.Errorf("New(%d) succeeds", size)
		}
	}
	d := newDisk(t, 64<<30)
	if d.Size() != 64<<30 || d.Stats().Held != 0 {
		t.Errorf("size %d, %+v", d.Size(), d.Stats())
	}
	if _, err := d.WriteAt(make([]byte, 4*mib), 63<<30); err != nil || d.Stats().Held != 0 {
		t.Errorf("zeros take memory: %+v, %v", d.Stats(), err)
	}
	if _, err := d.WriteAt([]byte("x"), 63<<30); err != nil || d.Stats().Held != 64<<10 {
		t.Errorf("one byte: %+v, %v", d.Stats(), err)
	}
}

// TestAgainstSlice compares with the simplest disk there is.
func TestAgainstSlice(t *testing.T) {
	const size = mib
	d, want := newDisk(t, size), make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	data := noise(300_000)
	for range 300 {
		off, n := r.Int64N(size), r.IntN(len(data))
		n = int(min(int64(n), size-off))
		if r.IntN(3) == 0 {
			clear(data[:n])
		}
		if m, err := d.WriteAt(data[:n], off); m != n || err != nil {
			t.Fatalf("write %d at %d: %d, %v", n, off, m, err)
		}
		copy(want[off:], data[:n])
		off = r.Int64N(size)
		n = int(min(r.Int64N(300_000), size-off))
		if !bytes.Equal(read(t, d, off, n), want[off:off+int64(n)]) {
			t.Fatalf("read %d at %d differs", n, off)
		}
		data = noise(300_000)
	}
	sum, err := d.SHA256(size)
	if err != nil || sum != sha256.Sum256(want) {
		t.Errorf("SHA256: %x, %v", sum, err)
	}
	s := d.Snapshot()
	d.WriteAt([]byte("changed"), 0)
	if !bytes.Equal(read(t, s, 0, 7), want[:7]) {
		t.Error("a snapshot changes with its disk")
	}
}

func TestEnd(t *testing.T) {
	d := newDisk(t, mib)
	if n, err := d.WriteAt(make([]byte, 1024), mib-512); n != 512 || !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("write over the end: %d, %v", n, err)
	}
	if n, err := d.WriteAt([]byte{1}, mib); n != 0 || !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("write behind the end: %d, %v", n, err)
	}
	if n, err := d.ReadAt(make([]byte, 1024), mib-512); n != 512 || err != io.EOF {
		t.Errorf("read over the end: %d, %v", n, err)
	}
	if n, err := d.ReadAt(make([]byte, 1), mib); n != 0 || err != io.EOF {
		t.Errorf("read behind the end: %d, %v", n, err)
	}
}

func TestBadPlaces(t *testing.T) {
	d := newDisk(t, mib)
	data := noise(200_000)
	d.FailWrites(100_000, 1)
	if n, err := d.WriteAt(data, 0); n != 100_000/512*512 || !errors.Is(err, disk.ErrIO) {
		t.Errorf("write: %d, %v", n, err)
	}
	if n, err := d.WriteAt(data[:1000], 100_000/512*512+512); n != 1000 || err != nil {
		t.Errorf("write behind it: %d, %v", n, err)
	}
	d.FailReads(5000, 600)
	if n, err := d.ReadAt(make([]byte, 10_000), 0); n != 5000/512*512 || !errors.Is(err, disk.ErrIO) {
		t.Errorf("read: %d, %v", n, err)
	}
	d.Heal()
	if n, err := d.WriteAt(data, 0); n != len(data) || err != nil {
		t.Errorf("healed: %d, %v", n, err)
	}
	if !bytes.Equal(read(t, d, 0, len(data)), data) {
		t.Error("healed disk holds something else")
	}
	d.SetReadOnly(true)
	if _, err := d.WriteAt(data, 0); !errors.Is(err, disk.ErrReadOnly) || !d.ReadOnly() {
		t.Errorf("read-only: %v", err)
	}
	d.SetReadOnly(false)
	d.Unplug()
	if _, err := d.WriteAt(data, 0); !errors.Is(err, disk.ErrIO) {
		t.Errorf("unplugged: %v", err)
	}
	if _, err := d.ReadAt(data, 0); !errors.Is(err, disk.ErrIO) {
		t.Errorf("unplugged: %v", err)
	}
	d.Plug()
	if _, err := d.ReadAt(data, 0); err != nil {
		t.Errorf("plugged: %v", err)
	}
}

// differences returns the offsets of the bytes that differ.
func differences(a, b []byte) (at []int) {
	for i := range a {
		if a[i] != b[i] {
			at = append(at, i)
		}
	}
	return at
}

func TestFlips(t *testing.T) {
	data := noise(300_000)
	for _, tc := range []struct {
		name          string
		flips         disk.Flips
		first, second int // differences after the first and a second write
	}{
		{"places", disk.Flips{At: []int64{70_000, 5, 299_999}}, 3, 3},
		{"once", disk.Flips{At: []int64{70_000, 5}, Once: true}, 2, 0},
		{"every", disk.Flips{Every: 100_000}, 3, 3},
		{"every from", disk.Flips{Every: 100_000, First: 50_000, At: []int64{150_000}}, 3, 3},
		{"every once", disk.Flips{Every: 1000, First: 999, Once: true}, 300, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDisk(t, mib)
			if err := d.FlipBits(tc.flips); err != nil {
				t.Fatal(err)
			}
			for i, want := range []int{tc.first, tc.second} {
				if n, err := d.WriteAt(data, 0); n != len(data) || err != nil {
					t.Fatalf("a silent fault is not silent: %d, %v", n, err)
				}
				if got := differences(read(t, d, 0, len(data)), data); len(got) != want {
					t.Errorf("write %d: %d bytes differ, want %d: %v", i+1, len(got), want, got)
				}
			}
		})
	}
	d := newDisk(t, mib)
	if err := d.FlipBits(disk.Flips{At: []int64{100}}); err != nil {
		t.Fatal(err)
	}
	d.WriteAt(make([]byte, 1000), 0)
	if read(t, d, 100, 1)[0] == 0 {
		t.Error("a flip in zeros is lost")
	}
	if err := d.FlipBits(disk.Flips{At: []int64{-1}}); err == nil {
		t.Error("a negative offset is taken")
	}
}

func TestForgedCapacity(t *testing.T) {
	d := newDisk(t, 4*mib)
	if err := d.SetCapacity(mib); err != nil {
		t.Fatal(err)
	}
	d.WriteAt([]byte("first"), 0)
	d.WriteAt([]byte("later"), 3*mib)
	if got := string(read(t, d, 0, 5)); got != "later" {
		t.Errorf("the beginning holds %q", got)
	}
	if err := d.SetCapacity(8 * mib); err == nil {
		t.Error("a capacity above the size is taken")
	}
}

func TestOnWriteStopsInTheMiddle(t *testing.T) {
	d := newDisk(t, 4*mib)
	var totals []int64
	d.OnWrite(func(total int64) {
		totals = append(totals, total)
		if total >= mib {
			d.Unplug()
		}
	})
	n, err := d.WriteAt(noise(2*mib), 0)
	if n != mib || !errors.Is(err, disk.ErrIO) || len(totals) != 16 || totals[15] != mib {
		t.Errorf("%d, %v, %v", n, err, totals)
	}
	d.OnWrite(nil)
	d.Plug()
	if n, err := d.WriteAt(noise(2*mib), 0); n != 2*mib || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestConcurrently(t *testing.T) {
	d := newDisk(t, 8*mib)
	var wg sync.WaitGroup
	data := noise(mib)
	for i := range int64(8) {
		wg.Go(func() {
			for range 5 {
				d.WriteAt(data, i*mib)
				d.Sync()
			}
		})
		wg.Go(func() {
			b := make([]byte, mib)
			for range 5 {
				d.ReadAt(b, i*mib)
				d.Stats()
				d.Snapshot()
			}
		})
	}
	wg.Wait()
	for i := range int64(8) {
		if !bytes.Equal(read(t, d, i*mib, mib), data) {
			t.Errorf("MiB %d is wrong", i)
		}
	}
	if s := d.Stats(); s.Syncs != 40 || s.Written != 40*mib {
		t.Errorf("%+v", s)
	}
}
