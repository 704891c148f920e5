package flasher

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

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
	block := tftpBlock
	for {
		window := int(o.f.tftpWindow.Load())
		if block == tftpSmallBlock {
			window = 1
		}
		cfg.log.Info("Loading into RAM", "what", a.role, "file", a.name, "address", a.address, "bytes", a.size, "window", window, "block", block)
		seen, err := o.loadOnce(ctx, a, window, block)
		if err == nil || ctx.Err() != nil || !errors.Is(err, uboot.ErrNoServer) {
			return err
		}
		switch {
		case seen == tftpNothing:
			return fmt.Errorf("%w (its request never came to this host's port 69: a firewall, another network, or a wrong server address?)", err)
		case seen == tftpRequest && block == tftpBlock:
			block = tftpSmallBlock
			cfg.log.Warn("The board acknowledged nothing, trying with small blocks", "file", a.name, "block", block, "error", err)
		case seen == tftpRequest, window == 1:
			return err
		default:
			o.f.tftpWindow.Store(int32(window / 2))
			cfg.log.Warn("The transfer stalled, trying with a smaller window", "file", a.name, "window", window/2, "error", err)
		}
	}
}

// tftpSeen is how far a transfer came, by what this host's server saw of it.
type tftpSeen int

const (
	tftpNothing tftpSeen = iota
	tftpRequest          // but no block was acknowledged
	tftpBlocks
)

func (o *operation) loadOnce(ctx context.Context, a artefact, window, block int) (tftpSeen, error) {
	restore, err := o.uboot.TFTPWindow(ctx, window, block)
	if err != nil {
		return tftpNothing, err
	}
	m := o.meter(StepLoad, a.role+" "+a.name, a.size)
	var seen, burst atomic.Int32 // burst is how many blocks at once the board was found to take, or 0
	stop := o.servers.watchTFTP(a.name, func(acknowledged int64, blocks int) {
		if blocks > 0 && blocks < window {
			burst.Store(int32(blocks))
		}
		if acknowledged == 0 {
			seen.CompareAndSwap(int32(tftpNothing), int32(tftpRequest))
			return
		}
		seen.Store(int32(tftpBlocks))
		m.update(acknowledged)
	})
	_, err = o.uboot.TFTPBoot(ctx, uboot.File{
		Name: o.f.cfg.tftpPrefix + a.name, Address: a.address, Size: a.size, CRC32: a.crc, CheckCRC: true,
	})
	stop()
	if n := burst.Load(); n > 0 && n < o.f.tftpWindow.Load() {
		o.f.tftpWindow.Store(n)
		o.f.cfg.log.Info("This board gets smaller windows from now on", "blocks", n)
	}
	if !o.f.cfg.servesTFTP() {
		seen.Store(int32(tftpBlocks)) // as far as anybody knows
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
