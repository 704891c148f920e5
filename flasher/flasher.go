// Package flasher flashes disk images onto an embedded board, and hands out its
// U-Boot and busybox shells.
//
// A [Flasher] stands for one board: its serial console, its power switch, and
// the flasher bundle that says how it boots. [Flasher.Flash] power-cycles the
// board, stops U-Boot, gets DHCP, loads kernel, initramfs and DTB over TFTP,
// boots a shell, lets the board pull the image over HTTP onto the block device,
// reads it back, compares digests, and powers the board off.
// [Flasher.FlashParts] does that for several images and partitions in one boot,
// [Flasher.Dump] reads a target back to the host. [Flasher.BootloaderShell] and
// [Flasher.BusyboxShell] stop on the way and hand the board over. For many boards
// at once there is a Flasher each, which share [Servers] by [WithServers] and an
// image by [Flasher.FlashPrepared].
//
// # What is never done
//
// Nothing is written to a disk that neither the manifest nor the caller named.
// What can be refused without the board (options, references, manifest, target
// name, files, ports, an image whose first bytes are not to be had) is refused
// before its power is touched; an image that is damaged or too large is refused
// before the first write, preflash commands included.
//
// # How it ends
//
// In every case, also when the context is cancelled, the servers and the
// console are closed, temporary files are gone, and the board is powered off,
// unless WithPowerOff(false) was given.
package flasher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/dutflash/dutflash/power"
)

// OpenConsole opens the board's serial console. The Flasher opens it at the
// start of each operation, before the power is switched, and closes it at the
// end, so that other programs can have the port between operations. Close must
// unblock a Read that waits.
type OpenConsole func(ctx context.Context) (io.ReadWriteCloser, error)

// Flasher drives one board. It may be used from several goroutines, but does
// one operation at a time: a second one gets [ErrBusy].
type Flasher struct {
	open      OpenConsole
	power     power.Controller
	bundleRef string
	cfg       config
	busy      atomic.Bool
	closed    atomic.Bool
	// tftpWindow is the largest window that the board's network driver takes,
	// as far as is known.
	tftpWindow atomic.Int32
	// loadedBy is the LoadMethod that worked on the board where LoadAuto could not
	// have TFTP, "" or nil where none had to.
	loadedBy atomic.Value
	// oneBaud says that the console's rate could not be switched together with
	// the board's.
	oneBaud atomic.Bool
}

// New returns a Flasher for the board behind the console and the power switch.
// bundleRef is what bundle.Open takes: an OCI reference, the directory or
// archive of an OCI layout, or a plain directory with a manifest.yaml. Nothing
// is opened or touched yet. Errors wrap [ErrConfig].
func New(open OpenConsole, pwr power.Controller, bundleRef string, opts ...Option) (*Flasher, error) {
	f := &Flasher{open: open, power: pwr, bundleRef: bundleRef, cfg: defaults()}
	var problems []error
	if open == nil {
		problems = append(problems, errors.New("the console is nil"))
	}
	if pwr == nil {
		problems = append(problems, errors.New("the power controller is nil"))
	}
	if bundleRef == "" {
		problems = append(problems, errors.New("the bundle reference is empty"))
	}
	for _, opt := range opts {
		problems = append(problems, opt(&f.cfg))
	}
	problems = append(problems, f.cfg.timeouts.fill(), f.cfg.checkDirect(), f.cfg.checkLoad(), f.cfg.checkServers())
	if err := errors.Join(problems...); err != nil {
		return nil, &Error{Op: "new", Step: StepCheck, Err: fmt.Errorf("%w: %w", ErrConfig, err)}
	}
	f.tftpWindow.Store(int32(f.cfg.tftpWindow))
	return f, nil
}

// Close frees what belongs to the Flasher: see [WithCloser]. One without that holds
// nothing between operations and need not be closed. The power stays as it is, as far
// as the switch can hold it without its program. Later operations end with [ErrClosed];
// only the first Close does something. While an operation is under way, or a shell is
// open, nothing is closed and the error is [ErrBusy].
func (f *Flasher) Close() error {
	if !f.busy.CompareAndSwap(false, true) {
		return &Error{Op: "close", Step: StepCheck, Err: ErrBusy}
	}
	defer f.release()
	if f.closed.Swap(true) {
		return nil
	}
	var errs []error
	for _, c := range slices.Backward(f.cfg.closers) {
		errs = append(errs, c.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Op: "close", Step: StepPowerState, Err: err}
	}
	return nil
}

// acquire makes the Flasher busy; release frees it.
func (f *Flasher) acquire() error {
	if !f.busy.CompareAndSwap(false, true) {
		return ErrBusy
	}
	if f.closed.Load() {
		f.release()
		return ErrClosed
	}
	return nil
}

func (f *Flasher) release() { f.busy.Store(false) }
