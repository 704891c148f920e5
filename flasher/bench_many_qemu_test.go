//go:build unix

package flasher_test

import (
	"fmt"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/transport/image"
)

// hostCPU is what this process has used; the QEMUs are processes of their own.
func hostCPU(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFourBoards prints what the host pays for four boards at once beside one,
// from one image through one pair of servers. The boards' user-mode networks and the
// reading of their consoles run in this process as well, and cost the more the longer
// four emulators have to share the processors: what serving alone costs is in
// BenchmarkNative.
func BenchmarkFourBoards(b *testing.B) {
	const size = 64 * mib
	raw, _ := benchImage(b, "image.raw", size, func(int) bool { return false })
	packed := compressed(b, raw, "xz", ".xz", "-1", "-T2")
	dir := bundleDir(b, virtboard.ARM64, debian.Bundle{})
	debug.FreeOSMemory()
	run := func(boards int) (prepare, serve time.Duration) {
		begun := hostCPU(b)
		src, err := image.Open(packed)
		if err != nil {
			b.Fatal(err)
		}
		prepared, err := image.Prepare(b.Context(), src, image.WithCacheDir(b.TempDir()))
		if err != nil {
			b.Fatal(err)
		}
		defer prepared.Close()
		if err := prepared.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
		prepare = hostCPU(b) - begun
		servers, err := flasher.NewServers(nil)
		if err != nil {
			b.Fatal(err)
		}
		defer servers.Close()
		var rigs []*rig
		for range boards {
			rigs = append(rigs, newRig(b, virtboard.ARM64, size+16*mib))
		}
		begun = hostCPU(b)
		var wg sync.WaitGroup
		for _, r := range rigs {
			wg.Go(func() {
				res, err := r.flasher(b, dir, flasher.WithServers(servers)).FlashPrepared(b.Context(), prepared)
				if err != nil || res.SHA256 != prepared.SHA256() {
					b.Errorf("%+v, %v", res, err)
				}
			})
		}
		wg.Wait()
		return prepare, hostCPU(b) - begun
	}
	for b.Loop() {
		resetPeak(b)
		prepareOne, serveOne := run(1)
		prepareFour, serveFour := run(4)
		fmt.Printf("\nCPU of the host, %d MiB image: one board %.2f s to prepare and %.2f s to serve, four boards %.2f s and %.2f s\n",
			size/mib, prepareOne.Seconds(), serveOne.Seconds(), prepareFour.Seconds(), serveFour.Seconds())
		benchRatio(b, "four boards / one: prepare", prepareFour.Seconds()/prepareOne.Seconds(), 1.3)
		benchRatio(b, "four boards / one: serve", serveFour.Seconds()/serveOne.Seconds(), 4.2)
		benchRatio(b, "four boards: peak memory of the host, of 128 MB", float64(peakMemory(b))/128e6, 1)
	}
}
