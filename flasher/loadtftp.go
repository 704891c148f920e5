package flasher

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/dutflash/dutflash/transport/tftp"
	"github.com/dutflash/dutflash/uboot"
)

// The sizes of TFTP blocks: the largest that fits into an Ethernet frame beside
// the headers (a larger one needs a U-Boot with CONFIG_IP_DEFRAG), and the one that
// every path carries.
const (
	tftpBlock      = 1468
	tftpSmallBlock = 512
)

// WithTFTPWindow sets the window, in blocks (RFC 7440), that U-Boot is asked to
// load with; 1 is lock step, 64 the most. The default is 16. Where transfers stall, or
// the board's network driver drops what comes at once, it gets smaller by itself, and
// stays so for the further operations of the Flasher.
func WithTFTPWindow(blocks int) Option {
	return func(c *config) error {
		if blocks < 1 || blocks > 64 {
			return fmt.Errorf("WithTFTPWindow: %d is not within 1 and 64", blocks)
		}
		c.tftpWindow = blocks
		return nil
	}
}

// loadTFTP loads by TFTP and checks what arrived. Where the network driver drops
// the bursts of a window, it is tried with half of it, down to lock step, and the
// board is known by that from then on. Where not even one block arrived, it is
// tried with blocks that fit into any packet; where not even the request did,
// trying again is of no use.
func (o *operation) loadTFTP(ctx context.Context, a artefact) error {
	cfg := &o.f.cfg
	before := o.f.tftpWindow.Load()
	window, block := int(before), tftpBlock
	for {
		cfg.log.Info("Loading into RAM", "what", a.role, "file", a.name, "address", a.address, "bytes", a.size, "window", window, "block", block)
		seen, err := o.loadOnce(ctx, a, window, block)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		case seen == tftpNothing && errors.Is(err, uboot.ErrTFTP):
			return noted(err, fmt.Errorf("%w, %s: this host's never saw the request", errOtherServer, o.net.Server))
		case seen == tftpUnknown && errors.Is(err, uboot.ErrTFTP):
			return noted(err, fmt.Errorf("%w, %s", errOtherServer, o.net.Server))
		case !errors.Is(err, uboot.ErrNoServer):
			return err
		case errors.Is(err, uboot.ErrNoARP):
			return noted(err, fmt.Errorf("U-Boot was told that the server is %s%s", o.net.Server, o.viaGateway()))
		case seen == tftpNothing:
			return noted(err, fmt.Errorf("U-Boot asked %s, and its request never came to this host's port 69", o.net.Server))
		case seen == tftpRequest && block == tftpBlock:
			window, block = 1, tftpSmallBlock
			cfg.log.Warn("The board acknowledged nothing, trying with small blocks", "file", a.name, "block", block, "error", err)
		case seen == tftpRequest:
			return noted(err, errors.New("the board's requests come to this host's port 69, and nothing that is sent back to it arrives"))
		case window == 1:
			if seen == tftpUnknown {
				o.f.tftpWindow.Store(before) // it was not the window
			}
			return err
		case seen == tftpUnknown:
			window = 1
			o.f.tftpWindow.Store(1)
			cfg.log.Warn("The transfer stalled, trying in lock step", "file", a.name, "error", err)
		default:
			window = max(1, min(window/2, int(o.f.tftpWindow.Load())))
			o.f.tftpWindow.Store(int32(window))
			cfg.log.Warn("The transfer stalled, trying with a smaller window", "file", a.name, "window", window, "error", err)
		}
	}
}

// errOtherServer is about who refused.
var errOtherServer = errors.New("said by another TFTP server")

// viaGateway is for an error about an address that nobody answers for.
func (o *operation) viaGateway() string {
	switch {
	case o.net.Address.Contains(o.net.Server):
		return ", in its own network " + o.net.Address.Masked().String()
	case o.net.Gateway.IsValid():
		return ", behind the gateway " + o.net.Gateway.String()
	}
	return ", which is not in its network " + o.net.Address.Masked().String() + ", and there is no gateway"
}

// tftpSeen is how far a transfer came, by what this host's server saw of it.
type tftpSeen int32

const (
	tftpNothing tftpSeen = iota
	tftpRequest          // but no block was acknowledged
	tftpBlocks
	tftpUnknown // the server is not this host's
)

// unanswered is how many times a board may ask for a file, and acknowledge nothing of
// what it was sent, until that is taken for the end. U-Boot asks every five seconds, and
// in between it is sent the answer several times; by itself it would go on for a minute.
const unanswered = 3

var errUnanswered = fmt.Errorf("%w: U-Boot asked %d times, and acknowledged nothing of what it was sent", uboot.ErrNoServer, unanswered)

func (o *operation) loadOnce(ctx context.Context, a artefact, window, block int) (tftpSeen, error) {
	restore, err := o.uboot.TFTPWindow(ctx, window, block)
	if err != nil {
		return tftpNothing, err
	}
	m := o.meter(StepLoad, a.role+" "+a.name, a.size)
	loadCtx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var seen, burst atomic.Int32 // burst is how many blocks at once the board was found to take, or 0
	asked := 0
	stop := o.servers.watchTFTP(a.name, func(ev tftp.Event) {
		if ev.Burst < ev.WindowSize && ev.Burst < window {
			burst.Store(int32(ev.Burst))
		}
		if ev.Bytes > 0 {
			seen.Store(int32(tftpBlocks))
			m.update(ev.Bytes)
			return
		}
		seen.CompareAndSwap(int32(tftpNothing), int32(tftpRequest))
		if ev.Kind == tftp.Started {
			asked++
		}
		if asked == unanswered && tftpSeen(seen.Load()) == tftpRequest {
			giveUp(errUnanswered)
		}
	})
	_, err = o.uboot.TFTPBoot(loadCtx, uboot.File{
		Name: o.f.cfg.tftpPrefix + a.name, Address: a.address, Size: a.size, CRC32: a.crc, CheckCRC: true,
	})
	stop()
	if err != nil && ctx.Err() == nil && context.Cause(loadCtx) == errUnanswered {
		err = withoutCancel(err)
	}
	if n := burst.Load(); n > 0 && n < o.f.tftpWindow.Load() {
		o.f.tftpWindow.Store(n)
		o.f.cfg.log.Info("This board gets smaller windows from now on", "blocks", n)
	}
	if !o.f.cfg.servesTFTP() {
		seen.Store(int32(tftpUnknown))
	}
	if err == nil {
		m.update(a.size)
		return tftpBlocks, restore(ctx)
	}
	if back := restore(ctx); back != nil {
		err = errors.Join(err, back)
	}
	return tftpSeen(seen.Load()), err
}

// noted adds what this host knows to an error of U-Boot's, before the console lines.
func noted(err, note error) error {
	e, ok := err.(*uboot.Error)
	if !ok {
		return fmt.Errorf("%w (%w)", err, note)
	}
	with := *e
	with.Err = fmt.Errorf("%w (%w)", e.Err, note)
	return &with
}

// withoutCancel makes errUnanswered the cause of err, in the place of a context that
// nobody outside has ended.
func withoutCancel(err error) error {
	var e *uboot.Error
	if !errors.As(err, &e) || !errors.Is(err, errUnanswered) {
		return err
	}
	return &uboot.Error{Op: e.Op, Command: e.Command, Tail: e.Tail, Err: errUnanswered}
}
