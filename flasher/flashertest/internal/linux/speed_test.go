package linux_test

import (
	"context"
	"net"
	"testing"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
	"github.com/dutflash/dutflash/transport/console"
)

// benchSession is a session for a benchmark.
func benchSession(b *testing.B, cfg linux.Config) *busybox.Shell {
	b.Helper()
	host, board := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := linux.Run(ctx, board, cfg); err != nil {
			b.Error(err)
		}
	}()
	c, err := console.New(host)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		<-done
		c.Close()
		board.Close()
	})
	s, err := busybox.New(c)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Login(b.Context()); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkReadBack is dd | sha256sum over 64 MiB of a simulated disk.
func BenchmarkReadBack(b *testing.B) {
	d := newDisk(b, 64*mib)
	if _, err := d.WriteAt(randomBytes(64*mib, 1), 0); err != nil {
		b.Fatal(err)
	}
	s := benchSession(b, networked(b, d))
	b.SetBytes(64 * mib)
	for b.Loop() {
		if _, err := s.Run(b.Context(), "dd if=/dev/mmcblk1 bs=1M iflag=direct | sha256sum"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExtents is a whole flash of 64 MiB by our worker script.
func BenchmarkExtents(b *testing.B) {
	image := randomBytes(64*mib, 1)
	b.SetBytes(64 * mib)
	for b.Loop() {
		b.StopTimer()
		s := benchSession(b, networked(b, newDisk(b, 64*mib)))
		b.StartTimer()
		if p, err := flash(b, s, image); err != nil || p.Err() != nil {
			b.Fatal(err, p.Err())
		}
	}
}

// BenchmarkCommand is one short command in a session.
func BenchmarkCommand(b *testing.B) {
	s := benchSession(b, linux.Config{})
	for b.Loop() {
		if _, err := s.Run(b.Context(), "echo $((1+1))"); err != nil {
			b.Fatal(err)
		}
	}
}
