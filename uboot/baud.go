package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/Netflix/go-expect"
)

// U-Boot prints these, waits 50 ms, switches, waits 50 ms, and then for the key
// (cmd/load.c).
var (
	pressEnter = regexp.MustCompile(`## Switch baudrate to \d+ bps and press ENTER[^\n]*\n`)
	pressESC   = regexp.MustCompile(`## Switch baudrate to \d+ bps and press ESC[^\n]*\n`)
)

const (
	// settleTime is what both sides have until they understand each other.
	settleTime = 200 * time.Millisecond
	// keyTime is how long U-Boot may take to answer a key, and keyTries how often
	// it is sent.
	keyTime, keyTries = 2 * time.Second, 4
)

// baudBefore puts the rate into the command and returns that of now.
func (x *exchange) baudBefore(ctx context.Context) (int, error) {
	if x.u.Baud == 0 {
		return 0, nil
	}
	if x.u.Baud < 50 || x.u.SetBaud == nil {
		return 0, fmt.Errorf("%w: %d baud, and SetBaud is needed to set it here", ErrBaudRate, x.u.Baud)
	}
	text, err := x.env(ctx, "baudrate")
	if err != nil {
		return 0, fmt.Errorf("%w: $baudrate, to go back to: %w", ErrBaudRate, err)
	}
	before, err := strconv.Atoi(text)
	if err != nil || before < 50 {
		return 0, fmt.Errorf("%w: $baudrate is %q", ErrBaudRate, text)
	}
	if before != x.u.Baud {
		x.cmd += " " + strconv.Itoa(x.u.Baud)
	}
	return before, nil
}

// switchBaud follows U-Boot to the rate of the transfer.
func (x *exchange) switchBaud(ctx context.Context, before int) error {
	x.before = before
	if err := x.setBaud(ctx, x.u.Baud); err != nil {
		x.deaf = true
		return x.give(err)
	}
	for range keyTries {
		if err := x.con.Send(ctx, "\r"); err != nil {
			return x.give(err)
		}
		m, err := x.within(ctx, keyTime, expect.Regexp(x.ready))
		if err == nil {
			x.cfg.log.Debug("Switched the baud rate", "baud", x.u.Baud, "ready", clip(m.Text))
			return nil
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return x.give(x.silence(ctx, "", err))
		}
	}
	return x.give(fmt.Errorf("%w: U-Boot is not understood at %d baud", ErrBaudRate, x.u.Baud))
}

// switchBack goes back with U-Boot to the rate from before.
func (x *exchange) switchBack(ctx context.Context) error {
	if x.before == 0 {
		return nil
	}
	var hit match
	if err := x.await(ctx, []expect.ExpectOpt{expect.Regexp(pressESC)}, fatal(), &hit); err != nil {
		return x.give(err)
	}
	x.printed += hit.Before + hit.Text
	if err := x.setBaud(ctx, x.before); err != nil {
		return x.give(err)
	}
	return x.con.Send(ctx, "\x1b")
}

// leaveBaud ends a transfer at its rate, as far as U-Boot can be understood there.
func (x *exchange) leaveBaud() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	for range keyTries {
		// ENTER is for a switch that was not completed.
		if err := x.con.Send(ctx, "\r"+x.stop); err != nil {
			return
		}
		if _, err := x.within(ctx, 2*keyTime, expect.Regexp(pressESC)); err == nil || x.con.Err() != nil {
			return
		}
	}
}

// setBaud sets our side. It does so also when ctx has ended.
func (x *exchange) setBaud(ctx context.Context, baud int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recoverTime)
	defer cancel()
	if err := x.u.SetBaud(ctx, baud); err != nil {
		return fmt.Errorf("%w: set %d baud on this side: %w", ErrBaudRate, baud, err)
	}
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.con.Done():
	}
	return nil
}
