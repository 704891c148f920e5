package flasher

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dutflash/dutflash/uboot"
)

// serial says whether the files go over the console.
func (m LoadMethod) serial() bool {
	return m == LoadYModem || m == LoadXModem || m == LoadKermit
}

// usualBaud is the rate that a console is taken to have.
const usualBaud = 115200

// WithLoadBaud has the files that go over the console sent at a rate, in baud, that
// is higher than the console's: U-Boot switches to it before each file and back after
// it. The console must be one whose rate can be set from here, a local port or one
// behind rfc2217; any other is [ErrConfig] when it is opened, before the power is
// touched. Where the switch fails, which loses the board until its next power cycle,
// the Flasher's further attempts do without it. 50 to 12000000; the default is the console's own rate.
func WithLoadBaud(baud int) Option {
	return func(c *config) error {
		if baud < 50 || baud > 12_000_000 {
			return fmt.Errorf("WithLoadBaud: %d is not within 50 and 12000000", baud)
		}
		c.loadBaud = baud
		return nil
	}
}

// baudRater is a console whose rate can be set, as transport/serial's are.
type baudRater interface {
	SetBaudRate(ctx context.Context, baud int) error
}

// serialRate, in bytes per second, is half of what the line carries. It is the time
// that a file has beside Timeouts.Load.
func (c *config) serialRate() int64 {
	baud := c.loadBaud
	if baud == 0 {
		baud = usualBaud
	}
	return max(1, int64(baud)/20)
}

// serialLimit is what LoadAuto sends over the console at most, in bytes: some four
// minutes' worth, 2 MiB at 115200 baud.
func (c *config) serialLimit() int64 { return 2 << 20 * c.serialRate() / (usualBaud / 20) }

// checkBaud refuses a console that cannot do what WithLoadBaud asks for.
func (o *operation) checkBaud(port io.ReadWriteCloser) error {
	o.baud, _ = port.(baudRater)
	if o.f.cfg.loadBaud != 0 && o.baud == nil {
		return fmt.Errorf("%w: WithLoadBaud(%d): the rate of this console (%T) cannot be set: it takes a local port, or one behind rfc2217", ErrConfig, o.f.cfg.loadBaud, port)
	}
	return nil
}

// loadSerial sends an artefact over the console.
func (o *operation) loadSerial(ctx context.Context, a artefact, by LoadMethod) error {
	content, err := o.bundle.Open(a.file)
	if err != nil {
		return err
	}
	defer content.Close()
	cfg := &o.f.cfg
	m := o.meter(StepLoad, a.role+" "+a.name, a.size)
	u := uboot.Upload{Name: a.name, Address: a.address, Content: content, Size: a.size, Progress: m.update}
	if cfg.loadBaud != 0 && !o.f.oneBaud.Load() {
		u.Baud, u.SetBaud = cfg.loadBaud, o.baud.SetBaudRate
	}
	cfg.log.Info("Loading into RAM over the console", "what", a.role, "by", by, "address", a.address, "bytes", a.size, "baud", u.Baud)
	send := o.uboot.LoadYModem
	switch by {
	case LoadXModem:
		send = o.uboot.LoadXModem
	case LoadKermit:
		send = o.uboot.LoadKermit
	}
	if _, err = send(ctx, u); errors.Is(err, uboot.ErrBaudRate) {
		o.f.oneBaud.Store(true)
		cfg.log.Warn("The baud rate cannot be switched on this board, so that is not tried again", "baud", u.Baud, "error", err)
	}
	return err
}
