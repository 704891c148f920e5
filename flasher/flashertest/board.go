package flashertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/bootloader"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/uart"
)

// Board is a simulated board: U-Boot with an autoboot countdown, DHCP and a TFTP
// client, and then Linux with a login, a POSIX shell and the tools of a busybox
// over a disk in memory. It is a power.Controller; [Board.Open] is a
// flasher.OpenConsole, and [Board.Network] a flasher.Network. What is wrong with
// it is said by [Faults].
//
// It gives the answers of U-Boot 2023.01 and of Debian's busybox 1.35: the same
// tests run against it and against both of those. It takes real time where a
// board does, for instance for the countdown.
//
// All methods may be called concurrently.
type Board struct {
	cfg     config
	line    *uart.Line
	network *Network
	address netip.Prefix // in it
	disk    *Disk
	second  *Disk // or nil

	power  sync.Mutex // held while switching
	off    func()     // stops what runs and waits for it; nil while the board is off
	cycles int
	closed bool

	mu     sync.Mutex
	random *rand.Rand
	faults Faults
}

// NewBoard returns a board that is off. Close it after use.
func NewBoard(opts ...Option) (*Board, error) {
	b := &Board{cfg: config{seed: 1, diskSize: 64 << 20}}
	var errs []error
	for _, opt := range opts {
		errs = append(errs, opt(&b.cfg))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("flashertest: %w", err)
	}
	b.cfg.fill()
	b.line = uart.New(b.cfg.seed)
	if b.network = b.cfg.network; b.network == nil {
		b.network = &Network{}
	}
	var err error
	if b.address, err = b.network.lease(); err != nil {
		return nil, fmt.Errorf("flashertest: %w", err)
	}
	b.random = rand.New(rand.NewPCG(b.cfg.seed, 1))
	if b.disk, err = newDisk(b.cfg.diskSize, b.cfg.content); err != nil {
		return nil, fmt.Errorf("flashertest: %w", err)
	}
	if b.cfg.second > 0 {
		if b.second, err = newDisk(b.cfg.second, nil); err != nil {
			return nil, fmt.Errorf("flashertest: %w", err)
		}
	}
	return b, b.SetFaults(b.cfg.faults)
}

// SetFaults changes what is wrong with the board, at once where it runs. Faults
// that come once, such as ResetIn, may then come again.
func (b *Board) SetFaults(f Faults) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("flashertest: %w", err)
	}
	b.mu.Lock()
	b.faults = f
	b.mu.Unlock()
	b.line.SetFaults(uart.Faults{
		Drop: f.DropCharacters, Repeat: f.RepeatCharacters, Flip: f.FlipCharacters, Rate: f.CharactersPerSecond,
		Noise: f.Noise, Line: "\r\n[   12.345678] random: crng init done\r\n",
	})
	b.network.cut.set(f.CutHTTPAfter, f.CutHTTPTimes)
	if err := b.disk.setFaults(f); err != nil {
		return fmt.Errorf("flashertest: %w", err)
	}
	return nil
}

// Network returns the cable between the host and the board, or the one that the
// board shares with others by [WithNetworkOf].
func (b *Board) Network() *Network { return b.network }

// Disk returns the board's disk.
func (b *Board) Disk() *Disk { return b.disk }

// SecondDisk returns the disk of [WithSecondDisk], nil where there is none.
func (b *Board) SecondDisk() *Disk { return b.second }

// Open opens the serial console. It fails while the console is open already.
func (b *Board) Open(context.Context) (io.ReadWriteCloser, error) {
	b.power.Lock()
	defer b.power.Unlock()
	if b.closed {
		return nil, errBoardClosed
	}
	h, err := b.line.Open()
	if err != nil {
		return nil, fmt.Errorf("flashertest: %w", err)
	}
	return h, nil
}

var errBoardClosed = fmt.Errorf("flashertest: board: %w", net.ErrClosed)

// On switches the board on; one that is on stays as it is.
func (b *Board) On(context.Context) error {
	b.power.Lock()
	defer b.power.Unlock()
	if b.closed {
		return errBoardClosed
	}
	if b.off != nil {
		return nil
	}
	b.cycles++
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.run(ctx)
	}()
	b.off = func() {
		cancel()
		<-done
	}
	return nil
}

// Off switches the board off, and waits until nothing of it runs.
func (b *Board) Off(context.Context) error {
	b.power.Lock()
	defer b.power.Unlock()
	b.stop()
	return nil
}

// stop is called with power held.
func (b *Board) stop() {
	if b.off != nil {
		b.off()
		b.off = nil
	}
}

// State says whether the board is on.
func (b *Board) State(context.Context) (on bool, err error) {
	b.power.Lock()
	defer b.power.Unlock()
	return b.off != nil, nil
}

// PowerCycles returns how often the board was switched on.
func (b *Board) PowerCycles() int {
	b.power.Lock()
	defer b.power.Unlock()
	return b.cycles
}

// Close switches the board off for good. Later calls of Open and On fail with an
// error that wraps net.ErrClosed.
func (b *Board) Close() error {
	b.power.Lock()
	defer b.power.Unlock()
	b.stop()
	b.closed = true
	return nil
}

// run is the board from power on to power off.
func (b *Board) run(ctx context.Context) {
	defer b.line.Listen(false)
	for ctx.Err() == nil {
		b.line.Listen(true)
		end, err := bootloader.Run(ctx, b.line, b.bootloader())
		if err == nil && end.Booted {
			b.linux(ctx, end)
		}
	}
}

// random01 decides what is random.
func (b *Board) random01() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.random.Float64()
}

func (b *Board) bootloader() bootloader.Config {
	b.mu.Lock()
	defer b.mu.Unlock()
	cfg, f := b.cfg.bootloader, b.faults
	c := bootloader.Config{
		Prompt: cfg.Prompt, Delay: cfg.Delay, StopKey: cfg.StopKey, LineLimit: cfg.LineLimit, Missing: cfg.Missing,
		PastAutoboot: f.PastBootloader, NoEthernet: f.NoEthernet, BootKernel: b.bootCommand(),
		FDT: dtb(), UDP: b.network.dialUDP, TCP: b.network.dialTCP, Wget: cfg.Wget, TFTPLoss: f.TFTPLoss, TFTPLimit: f.TFTPTruncate, Random: b.random01,
	}
	if !f.NoDHCP {
		c.Lease = &bootloader.Lease{Address: b.address}
	}
	return c
}
