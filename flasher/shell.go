package flasher

import (
	"context"
	"errors"
	"sync"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// board is what both kinds of shell session have in common: the console, the
// servers, and the end.
type board struct {
	o    *operation
	once sync.Once
	err  error
}

// Console returns the session's console, for instance to attach a person to it.
func (b *board) Console() *console.Console { return b.o.con }

// Send types data as it is; end a line with "\n" or "\r".
func (b *board) Send(ctx context.Context, data string) error { return b.o.con.Send(ctx, data) }

// Expect waits until one of go-expect's matchers hits; see console.Expect.
func (b *board) Expect(ctx context.Context, opts ...expect.ExpectOpt) (*console.Match, error) {
	return b.o.con.Expect(ctx, opts...)
}

// Files returns the names under which the bundle's kernel, initramfs and DTB
// are on the TFTP and the HTTP server, in the order in which a flash loads them.
func (b *board) Files() []string {
	names := make([]string, len(b.o.files))
	for i, a := range b.o.files {
		names[i] = a.name
	}
	return names
}

// BootCommand returns the U-Boot command that boots what Files names, by the
// manifest and what is used in its place.
func (b *board) BootCommand() string { return b.o.bootCmd }

// Close ends the servers and the console and brings the board into the power
// state asked for: off, unless WithPowerOff(false) was given. It may be called
// more than once; every call returns the result of the first.
func (b *board) Close() error {
	b.once.Do(func() {
		b.err = b.o.end(context.Background())
		b.o.f.release()
	})
	return b.err
}

// BootloaderSession is a board at a proved U-Boot prompt, with the session's
// TFTP and HTTP servers up. Send, Expect and Console work on the bare console;
// Run, Env, DHCP, TFTPBoot and the other methods of [uboot.Session] work with
// proof. It may be used by one goroutine at a time; Close may be called from any.
type BootloaderSession struct {
	board
	*uboot.Session
}

// BusyboxSession is a board at a proved busybox shell, with network and clock
// set and the session's TFTP and HTTP servers up. Send, Expect and Console work
// on the bare console; Run, Stream, Fetch and the other methods of
// [busybox.Shell] work with proof. It may be used by one goroutine at a time;
// Close may be called from any.
type BusyboxSession struct {
	board
	*busybox.Shell
}

// Console returns the session's console, for instance to attach a person to it;
// call Interactive first, which gives the shell its echo and prompt back.
func (s *BusyboxSession) Console() *console.Console { return s.board.Console() }

// FileURL returns where the board finds one of Files on the HTTP server.
func (s *BusyboxSession) FileURL(name string) string { return s.o.servers.url(name) }

// BootloaderShell power-cycles the board and stops it at the U-Boot prompt. The
// caller closes the session. Errors are an [*Error]; the board is then in the
// power state asked for already.
func (f *Flasher) BootloaderShell(ctx context.Context) (*BootloaderSession, error) {
	o, err := f.beginShell(ctx, "bootloader shell", func(o *operation) error { return o.toBootloader(ctx) })
	if err != nil {
		return nil, err
	}
	return &BootloaderSession{board: board{o: o}, Session: o.uboot}, nil
}

// BusyboxShell power-cycles the board, boots it from the bundle into its
// busybox shell, and sets network and clock. The caller closes the session.
// Errors are an [*Error]; the board is then in the power state asked for
// already.
func (f *Flasher) BusyboxShell(ctx context.Context) (*BusyboxSession, error) {
	o, err := f.beginShell(ctx, "busybox shell", func(o *operation) error {
		if err := o.toBootloader(ctx); err != nil {
			return err
		}
		if err := o.toShell(ctx); err != nil {
			return err
		}
		w := &writer{operation: o, res: &Result{}}
		return o.step(ctx, StepShell, 3*f.cfg.timeouts.Command, w.setUpShell)
	})
	if err != nil {
		return nil, err
	}
	return &BusyboxSession{board: board{o: o}, Shell: o.shell}, nil
}

// beginShell does what both shells begin with, and cleans up where boot fails.
func (f *Flasher) beginShell(ctx context.Context, name string, boot func(*operation) error) (_ *operation, err error) {
	if err := f.acquire(); err != nil {
		return nil, &Error{Op: name, Step: StepCheck, Err: err}
	}
	o := f.begin(name)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.end(ctx))
			f.release()
		}
	}()
	if err := o.step(ctx, StepBundle, f.cfg.timeouts.Bundle, func(ctx context.Context) error {
		return o.openBundle(ctx, f.bundleRef)
	}); err != nil {
		return nil, err
	}
	if err := o.step(ctx, StepServe, 0, o.serve); err != nil {
		return nil, err
	}
	return o, o.try(ctx, func(context.Context) error { return boot(o) })
}
