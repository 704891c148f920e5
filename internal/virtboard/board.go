package virtboard

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"sync"
	"time"
)

// startTimeout is how long QEMU may take from its start to running the machine,
// on a busy host, where the caller's context sets no earlier end.
const startTimeout = time.Minute

// Board is a virtual board. Its methods may be called concurrently.
type Board struct {
	config  Config
	machine machine
	network *Network
	uart    *uart

	power chan struct{} // holds a token while nobody switches

	mu     sync.Mutex
	proc   *process
	unplug func()
	closed bool
}

// New returns a board that is off. It fails with [ErrMissing] where QEMU or
// U-Boot is not installed, and otherwise says everything that is wrong with the
// config. Close the board after use.
func New(config Config) (*Board, error) {
	config, m, err := config.complete()
	if err != nil {
		return nil, &Error{Op: "configure", Err: err}
	}
	network, err := newNetwork(config.Host, config.NoRouter, config.Logger)
	if err != nil {
		return nil, &Error{Op: "configure", Err: err}
	}
	b := &Board{config: config, machine: m, network: network, uart: newUART(), power: make(chan struct{}, 1)}
	b.power <- struct{}{}
	return b, nil
}

// Console opens the serial console of the board. The port survives power cycles:
// while the board is off, Read waits, and what is written goes nowhere. Close it
// after use, or leave that to [Board.Close]; Read and Write then return
// [os.ErrClosed]. The console may be opened more than once, and each port then
// reads everything that comes from its opening on; a port that is not read
// loses what exceeds 1 MiB.
func (b *Board) Console() io.ReadWriteCloser { return b.uart.open() }

// Network returns the network that the board is connected to. It is there while
// the board is off and ends with [Board.Close].
func (b *Board) Network() *Network { return b.network }

// take waits for the right to switch the power.
func (b *Board) take(ctx context.Context) (release func(), err error) {
	select {
	case <-b.power:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		b.power <- struct{}{}
		return nil, ErrClosed
	}
	return func() { b.power <- struct{}{} }, nil
}

// On switches the board on, which starts QEMU, and returns when the machine
// runs. A board that is on stays as it is. It fails with [ErrDied] and what QEMU
// said where QEMU refuses to run.
func (b *Board) On(ctx context.Context) error {
	release, err := b.take(ctx)
	if err != nil {
		return &Error{Op: "power on", Err: err}
	}
	defer release()
	if b.running() != nil {
		return nil
	}
	b.stop() // what is left of a QEMU that ended by itself
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	cable, cableEnd, err := socketPair("ethernet")
	if err != nil {
		return &Error{Op: "power on", Err: err}
	}
	monitor, monitorEnd, err := socketPair("qmp")
	if err != nil {
		cable.Close()
		cableEnd.Close()
		return &Error{Op: "power on", Err: err}
	}
	proc, err := startProcess(b.machine.program, b.config.args(b.machine), b.uart, cableEnd, monitorEnd)
	cableEnd.Close()
	monitorEnd.Close()
	if err != nil {
		cable.Close()
		monitor.Close()
		return &Error{Op: "power on", Err: err}
	}
	b.mu.Lock()
	b.proc, b.unplug = proc, b.network.plug(cable)
	b.mu.Unlock()
	if err := waitRunning(ctx, monitor); err != nil {
		monitor.Close()
		died := b.stop() // after this the process's end is known
		if ctx.Err() == nil && died != nil {
			err = died
		}
		return &Error{Op: "power on", Detail: proc.stderr.String(), Err: err}
	}
	b.mu.Lock()
	unplug, rest := b.unplug, b.network.attend(cable, monitor, b.config.Logger)
	b.unplug = func() {
		rest()
		unplug()
	}
	b.mu.Unlock()
	b.config.Logger.Info("virtual board is on", "arch", b.config.Arch, "pid", proc.pid)
	return nil
}

// Off switches the board off, which kills QEMU, and returns when the process is
// gone. A board that is off stays off.
func (b *Board) Off(ctx context.Context) error {
	release, err := b.take(ctx)
	if err != nil {
		return &Error{Op: "power off", Err: err}
	}
	defer release()
	if b.running() != nil {
		b.config.Logger.Info("virtual board is off", "arch", b.config.Arch)
	}
	b.stop()
	return nil
}

// State reports whether the board is on. A board whose QEMU ended by itself is
// off: after a clean end, as when Linux powers the board off, without an error,
// otherwise with [ErrDied] and what QEMU said, until the next On or Off.
func (b *Board) State(ctx context.Context) (on bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, &Error{Op: "power state", Err: err}
	}
	b.mu.Lock()
	closed, proc := b.closed, b.proc
	b.mu.Unlock()
	switch {
	case closed:
		return false, &Error{Op: "power state", Err: ErrClosed}
	case proc == nil:
		return false, nil
	case !isClosed(proc.done):
		return true, nil
	}
	if err := proc.failure(); err != nil {
		return false, &Error{Op: "power state", Detail: proc.stderr.String(), Err: err}
	}
	return false, nil
}

// Close switches the board off and ends the network and the console with
// everything that waits for them. It leaves no process, no goroutine and no
// file. Closing again does nothing.
func (b *Board) Close() error {
	<-b.power
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if !closed {
		b.stop()
		b.uart.close()
		b.network.close()
	}
	b.power <- struct{}{}
	return nil
}

// DumpDTB writes the device tree that QEMU gives this board to a file, for a
// bundle whose DTB is loaded over the network as a real board's is.
func (b *Board) DumpDTB(ctx context.Context, path string) error {
	args := append(b.config.dtbArgs(b.machine), "-machine", "dumpdtb="+escapeComma(path))
	cmd := exec.CommandContext(ctx, b.machine.program, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return &Error{Op: "dump the device tree", Detail: tailOf(out), Err: errors.Join(ctx.Err(), err)}
	}
	return nil
}

// running returns the process where there is one that has not ended.
func (b *Board) running() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proc == nil || isClosed(b.proc.done) {
		return nil
	}
	return b.proc
}

// stop kills the process, where there is one, and waits until nothing of it is
// left. It returns how the process ended if it did so by itself and badly.
func (b *Board) stop() error {
	b.mu.Lock()
	proc, unplug := b.proc, b.unplug
	b.mu.Unlock()
	if proc == nil {
		return nil
	}
	proc.kill()
	unplug()
	b.mu.Lock()
	b.proc, b.unplug = nil, nil
	b.mu.Unlock()
	return proc.failure()
}
