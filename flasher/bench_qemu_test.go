package flasher_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// The throttled drive has the proportions of an eMMC with 20 MB/s for writing and
// 100 MB/s for reading, slowed down as much as the emulated CPU is.
const (
	writeBPS = 4 << 20
	readBPS  = 20 << 20
)

const chunkSize = 4 * mib

// benchImage writes a raw image of which 40 % of the chunks hold data that
// compresses as programs do. In the chunks for which changed is true, the data is
// another.
func benchImage(tb testing.TB, name string, size int64, changed func(chunk int) bool) (path string, data int64) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	for i := range int(size / chunkSize) {
		if i%5 > 1 { // two of five
			continue
		}
		data += chunkSize
		seed := [32]byte{byte(i), byte(i >> 8)}
		if changed(i) {
			seed[31] = 1
		}
		random := rand.NewChaCha8(seed)
		block := make([]byte, chunkSize)
		random.Read(block)
		for at := 0; at < len(block); at += 64 { // two thirds of it come again
			copy(block[at+20:at+64], block[:44])
		}
		if _, err := f.WriteAt(block, int64(i)*chunkSize); err != nil {
			tb.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		tb.Fatal(err)
	}
	return path, data
}

// blank makes the disk of a board that is off a blank one.
func (r *rig) blank(tb testing.TB) {
	tb.Helper()
	if err := errors.Join(os.Truncate(r.disk, 0), os.Truncate(r.disk, r.size)); err != nil {
		tb.Fatal(err)
	}
}

// pipeline runs the seed's pipeline on the board and then reads the device back;
// it returns how long both took.
func (r *rig) pipeline(tb testing.TB, f *flasher.Flasher, path string, size int64) (write, proof time.Duration) {
	tb.Helper()
	l, err := r.board.Network().Listen(tb.Context(), "tcp", ":8080")
	if err != nil {
		tb.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { http.ServeFile(w, req, path) })}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() { srv.Close(); <-served }()
	s, err := f.BusyboxShell(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer s.Close()
	timed := func(cmd string) time.Duration {
		ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Minute)
		defer cancel()
		begun := time.Now()
		if err := s.Stream(ctx, cmd, nil); err != nil {
			tb.Fatal(err)
		}
		return time.Since(begun)
	}
	write = timed("(set -o pipefail; wget -q -O - http://192.168.127.1:8080/ | xzcat | dd of=/dev/vda bs=64k iflag=fullblock oflag=direct 2>/dev/null && sync)")
	proof = timed(fmt.Sprintf("echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M count=%d iflag=direct 2>/dev/null | sha256sum", size/mib))
	return write, proof
}

// onDevice is how long a flash worked on the device.
func onDevice(res *flasher.Result) (d time.Duration) {
	for _, s := range res.Steps {
		switch s.Step {
		case flasher.StepWrite, flasher.StepSync, flasher.StepVerify:
			d += s.Elapsed
		}
	}
	return d
}

// BenchmarkMethods prints what a flash costs beside the seed's pipeline and beside
// what the medium allows, all from one run on one board. -short takes a quarter
// of the image.
func BenchmarkMethods(b *testing.B) {
	for _, m := range []struct {
		name        string
		write, read int64
	}{{"throttled", writeBPS, readBPS}, {"unthrottled", 0, 0}} {
		b.Run(m.name, func(b *testing.B) {
			size := int64(256 * mib)
			if testing.Short() {
				size = 64 * mib
			}
			r := newRigWith(b, size+16*mib, virtboard.Config{Arch: virtboard.ARM64, WriteBPS: m.write, ReadBPS: m.read})
			dir := bundleDir(b, virtboard.ARM64, debian.Bundle{})
			for b.Loop() {
				benchMethods(b, r, dir, size, m.write, m.read)
			}
		})
	}
}

// benchRatio prints and reports a ratio and whether it is within its limit.
func benchRatio(b *testing.B, what string, v, limit float64) {
	verdict := "holds"
	if v > limit {
		verdict = "MISSED"
	}
	fmt.Printf("  %-50s %6.3f  (at most %.2f: %s)\n", what, v, limit, verdict)
	b.ReportMetric(v, strings.ReplaceAll(what, " ", "-"))
}

func benchMethods(b *testing.B, r *rig, dir string, size, write, read int64) {
	raw, data := benchImage(b, "image.raw", size, func(int) bool { return false })
	first := compressed(b, raw, "xz", ".xz", "-1", "-T2")
	// 5 % of the chunks: every twentieth, which is one with data.
	raw2, _ := benchImage(b, "changed.raw", size, func(i int) bool { return i%20 == 10 })
	second := compressed(b, raw2, "xz", ".xz", "-1", "-T2")
	debug.FreeOSMemory()
	resetPeak(b)
	f := r.flasher(b, dir, flasher.WithRetryWait(time.Millisecond))

	unproved, proof := r.pipeline(b, f, first, size)
	proved := unproved + proof
	fmt.Printf("\n%d MiB image, %d MiB of it data, drive %d/%d MB/s\n", size/mib, data/mib, write/1e6, read/1e6)
	fmt.Printf("pipeline unproved            %6.1f s\n", unproved.Seconds())
	fmt.Printf("pipeline and read-back       %6.1f s\n", proved.Seconds())
	flashBy := func(f *flasher.Flasher, name, image string) (*flasher.Result, float64) {
		res, err := f.Flash(b.Context(), image)
		if err != nil {
			b.Fatal(err)
		}
		d := onDevice(res)
		fmt.Printf("%-28s %6.1f s, sent %d, written %d (zeros %d), unchanged %d, proved %d bytes by %s\n", name, d.Seconds(),
			res.TransferredBytes, res.WrittenBytes, res.ZeroedBytes, res.UnchangedBytes, res.ProvedBytes, res.ProofDigest)
		for _, s := range res.Steps {
			if s.Step == flasher.StepWrite || s.Step == flasher.StepSync || s.Step == flasher.StepVerify {
				fmt.Printf("  %-50s %6.1f s\n", s.Step, s.Elapsed.Seconds())
			}
		}
		return res, d.Seconds()
	}
	flash := func(name, image string) (*flasher.Result, float64) { return flashBy(f, name, image) }
	ratio := func(what string, v, limit float64) { benchRatio(b, what, v, limit) }
	r.blank(b)
	// A drive of QEMU's reads and writes at the same time, as an eMMC does not.
	_, tMeanwhile := flashBy(r.flasher(b, dir, flasher.WithVerify(flasher.VerifyWritten)), "first, read back meanwhile", first)
	fmt.Printf("  %-50s %6.3f\n", "by VerifyWritten / unproved pipeline", tMeanwhile/unproved.Seconds())
	r.blank(b)
	_, tFirst := flash("first flash, blank disk", first)
	ratio("first / unproved pipeline", tFirst/unproved.Seconds(), 0.75)
	ratio("first / proved pipeline", tFirst/proved.Seconds(), 0.6)
	if write > 0 {
		ratio("first / physical limit", tFirst/(float64(data)/float64(write)+float64(size)/float64(read)), 1.25)
	}
	_, tSame := flash("identical image", first)
	if write > 0 {
		ratio("identical / reading the image", tSame/(float64(size)/float64(read)), 1.2)
	}
	// On a busy machine the emulated processor is what limits both.
	fmt.Printf("  %-50s %6.3f\n", "identical / the board's dd and sha256sum", tSame/proof.Seconds())
	res, tChanged := flash("5 % of the chunks changed", second)
	ratio("changed: sent / image", float64(res.TransferredBytes)/float64(size), 0.08)
	ratio("changed: written / image", float64(res.WrittenBytes)/float64(size), 0.08)
	ratio("changed / first", tChanged/tFirst, 0.4)
	if write > 0 {
		// With full proof all of the image has to be read: no reflash is below that.
		reading := float64(size) / float64(read)
		fmt.Printf("  %-50s %6.3f\n", "changed: the least that full proof allows / first", reading/tFirst)
		fmt.Printf("  %-50s %6.3f\n", "changed / the least that full proof allows", tChanged/reading)
	}
	ratio("changed / unproved pipeline", tChanged/unproved.Seconds(), 0.3)

	r.blank(b)
	var once sync.Once
	var reset sync.WaitGroup
	g := r.flasher(b, dir, flasher.WithRetryWait(time.Millisecond), flasher.WithProgress(func(ev flasher.Event) {
		if ev.Step == flasher.StepWrite && ev.Wire > data/2 {
			once.Do(func() {
				reset.Go(func() {
					if err := errors.Join(r.board.Off(context.Background()), r.board.On(context.Background())); err != nil {
						b.Error(err)
					}
				})
			})
		}
	}))
	res, err := g.Flash(b.Context(), first)
	reset.Wait()
	if err != nil {
		b.Fatal(err)
	}
	if len(res.Attempts) != 1 {
		b.Errorf("%d attempts failed, want one that was reset", len(res.Attempts))
	}
	ratio("reset at half: the retry writes / data", float64(res.WrittenBytes)/float64(data), 0.55)
	ratio("peak memory of the host, of 128 MB", float64(peakMemory(b))/128e6, 1)
}

// resetPeak forgets the highest memory use so far.
func resetPeak(tb testing.TB) {
	tb.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200); err != nil {
		tb.Logf("the peak of memory includes the making of the image: %v", err)
	}
}

// peakMemory returns the highest resident memory of this process.
func peakMemory(tb testing.TB) int64 {
	tb.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, mib)); s.Scan(); {
		var kb int64
		if n, _ := fmt.Sscanf(s.Text(), "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	tb.Fatal("no VmHWM in /proc/self/status")
	return 0
}
