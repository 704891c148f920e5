package flasher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/image"
	"github.com/dutflash/dutflash/uboot"
)

// tailLines is how many console lines an error carries.
const tailLines = 12

// operation is one flash or one shell: what is open while it lasts, and how
// long its steps took.
type operation struct {
	f     *Flasher
	name  string
	begun time.Time

	mu       sync.Mutex // guards steps and con, and calls of the progress function
	steps    []StepTime
	attempts []Attempt

	bundle   *bundle.Bundle
	manifest *bundle.Manifest
	files    []artefact // what U-Boot loads
	bootCmd  string

	servers *servers
	con     *console.Console
	uboot   *uboot.Session
	shell   *busybox.Shell
	held    *busybox.BlockDevice // that the shell keeps open; nil is none
	net     uboot.Network        // the zero value where U-Boot has none
	powered bool                 // the power switch was touched
	baud    baudRater            // nil where the console's rate cannot be set

	noEthernet bool // U-Boot found no network, and goes on without
}

func (f *Flasher) begin(name string) *operation {
	return &operation{f: f, name: name, begun: time.Now()}
}

// step runs one step under its time limit, tells progress about it, and wraps
// what goes wrong. A limit of zero is for steps that wait for nothing.
func (o *operation) step(ctx context.Context, s Step, limit time.Duration, fn func(context.Context) error) error {
	begun := time.Now()
	o.emit(Event{Time: begun, Step: s, State: StateStarted})
	stepCtx := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		stepCtx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	err := fn(stepCtx)
	o.mu.Lock()
	o.steps = append(o.steps, StepTime{Step: s, Elapsed: time.Since(begun)})
	o.mu.Unlock()
	if err == nil {
		o.emit(Event{Time: time.Now(), Step: s, State: StateDone})
		return nil
	}
	err = o.fail(ctx, s, limit, err)
	o.emit(Event{Time: time.Now(), Step: s, State: StateFailed, Err: err})
	return err
}

// fail makes the *Error of a step. Where another part of the operation failed
// first and cancelled this one, that cause is the error.
func (o *operation) fail(ctx context.Context, s Step, limit time.Duration, err error) error {
	var own *Error
	if ctx.Err() != nil && errors.As(context.Cause(ctx), &own) {
		return own
	}
	if errors.As(err, &own) {
		return err
	}
	e := &Error{Op: o.name, Step: s, Err: err}
	if ctx.Err() == nil && limit > 0 && errors.Is(err, context.DeadlineExceeded) {
		e.Err = fmt.Errorf("not done within %v: %w", limit, err)
	}
	e.Tail = o.tail()
	e.Hint = hint(s, err)
	return e
}

// tail returns the last console lines, from any goroutine: the image is prepared
// beside the board.
func (o *operation) tail() string {
	o.mu.Lock()
	con := o.con
	o.mu.Unlock()
	if con == nil {
		return ""
	}
	return withoutFrames(con.Tail(8*tailLines), tailLines)
}

// board is the board's address as text, "" where it has none.
func (o *operation) board() string {
	if a := o.net.Address.Addr(); a.IsValid() {
		return a.String()
	}
	return ""
}

// setConsole sets or, with nil, forgets the console.
func (o *operation) setConsole(c *console.Console) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.con = c
}

// hint says what an engineer would look at next.
func hint(s Step, err error) string {
	timeout := errors.Is(err, context.DeadlineExceeded)
	switch {
	case errors.Is(err, ErrTargetGone), errors.Is(err, ErrTargetChanged):
		return "" // they say it themselves
	case errors.Is(err, extents.ErrWrite), errors.Is(err, errWriteRefused):
		return "the medium is worn out, damaged or write-protected at that place: look at the kernel's I/O errors and try another medium"
	case errors.Is(err, ErrVerify):
		return "the medium does not keep what it takes: it is worn out, forged or badly connected; the target is not usable as it is, try another medium"
	case errors.Is(err, extents.ErrRead), errors.Is(err, ErrDeviceRead):
		return "the medium cannot be read at that place: look at the kernel's I/O errors and try another medium"
	case errors.Is(err, extents.ErrTransfer), errors.Is(err, ErrStalled):
		return "look at the network between the board and this host: cable, duplex, firewall, address; what is written already is kept for the next try"
	case errors.Is(err, image.ErrChecksum):
		return "the image is damaged or the checksum is that of another one; the target was not touched"
	case errors.Is(err, ErrImageTooLarge), errors.Is(err, ErrPartitionNotFound):
		return "nothing of the image was written"
	case s == StepPreflash:
		return "the command is in preflash_commands of the bundle's manifest; the image was not written"
	case errors.Is(err, uboot.ErrSilent):
		return "nothing was heard: check the power switch's port, the serial cable and the baud rate"
	case errors.Is(err, uboot.ErrPastBootloader):
		return "the board booted its own system: check the stop key and the autoboot delay"
	case errors.Is(err, uboot.ErrPassword):
		return "give uboot.WithPassword, or the key that stops autoboot, through WithUBootOptions"
	case errors.Is(err, uboot.ErrEcho), errors.Is(err, uboot.ErrEarlyEnter):
		return "the serial line loses or damages characters: check its cable and ground and the baud rate, or slow the typing down with WithConsoleOptions and console.WithPace"
	case s == StepBootloader && timeout:
		return "check the stop key, the prompt and the baud rate"
	case errors.Is(err, uboot.ErrNoARP):
		return "say with WithServerAddress which address of this host faces the board, and check the board's address and netmask, the cable and the VLAN"
	case errors.Is(err, errOtherServer):
		return "U-Boot must be told the address of the server that has the files: WithServerAddress is for this host, WithTFTPServer for another one, where they must be under these names"
	case s == StepLoad && errors.Is(err, uboot.ErrNoServer):
		return "let the board's requests (UDP port 69, or TCP for HTTP) and the answers pass the firewalls of this host and those on the way, check that WithServerAddress is an address of this host, or load another way with WithLoad"
	case s == StepNetwork && timeout, errors.Is(err, uboot.ErrNoDHCP):
		return "check the board's network cable and the DHCP server, or give a static address"
	case s == StepLogin && timeout:
		return "check the console= of the boot arguments and the manifest's login section"
	}
	return ""
}

func (o *operation) emit(ev Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.f.cfg.progress(ev)
}

// meter returns a byte meter for a step.
func (o *operation) meter(s Step, what string, total int64) *meter {
	return &meter{emit: o.emit, log: o.f.cfg.log, step: s, name: what, total: total}
}

// openConsole opens the serial line; it must be open before the power is
// switched, so that nothing that the board says is missed.
func (o *operation) openConsole(ctx context.Context) error {
	port, err := o.f.open(ctx)
	if err != nil {
		return err
	}
	if err := o.checkBaud(port); err != nil {
		return errors.Join(err, port.Close())
	}
	opts := append([]console.Option{console.WithLogger(o.f.cfg.log)}, o.f.cfg.console...)
	if o.f.cfg.transcript != nil {
		opts = append(opts, console.WithTranscript(o.f.cfg.transcript))
	}
	if pw := o.manifest.Spec.Login.Password; pw != "" {
		opts = append(opts, console.WithSecret(pw))
	}
	con, err := console.New(port, opts...)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrConfig, err), port.Close())
	}
	o.setConsole(con)
	return nil
}

// powerCycle takes the board through off and on.
func (o *operation) powerCycle(ctx context.Context) error {
	cfg := &o.f.cfg
	cfg.log.Info("Starting power cycle sequence", "wait", cfg.cycleWait)
	o.powered = true
	ctx, cancel := context.WithTimeout(ctx, cfg.cycleWait+2*cfg.timeouts.Power)
	defer cancel()
	if err := power.Logged(cfg.log, o.f.power, "cycle", func() error { return power.Cycle(ctx, o.f.power, cfg.cycleWait) }); err != nil {
		return err
	}
	cfg.log.Info("Power cycle sequence complete")
	return nil
}

// end closes everything and brings the board into the power state asked for.
// It does so also when ctx has ended.
func (o *operation) end(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if o.powered && o.f.cfg.powerOff {
		errs = append(errs, o.step(ctx, StepPowerState, o.f.cfg.timeouts.Power, func(ctx context.Context) error {
			o.f.cfg.log.Info("Powering off target")
			return power.Logged(o.f.cfg.log, o.f.power, "off", func() error { return o.f.power.Off(ctx) })
		}))
	}
	if o.servers != nil {
		errs = append(errs, o.servers.close())
	}
	if o.con != nil {
		errs = append(errs, o.con.Close())
	}
	if o.bundle != nil {
		errs = append(errs, o.bundle.Close())
	}
	return errors.Join(errs...)
}
