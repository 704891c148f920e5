package uboot

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/Netflix/go-expect"
)

// Upload is what [Session.LoadYModem], [Session.LoadXModem] and
// [Session.LoadKermit] send over the serial line.
type Upload struct {
	// Name is told to U-Boot, which ignores it. Default "file". XMODEM has none.
	Name string
	// Address in RAM, as in [File].
	Address string
	// Content is read to its end once; Size is how many bytes it has, at least 1.
	Content io.Reader
	Size    int64
	// Progress, where not nil, is called after each block with how many bytes
	// U-Boot has acknowledged.
	Progress func(sent int64)
	// Baud, where not 0, is the rate at which the file goes over the line, and
	// SetBaud sets it on our side. U-Boot asks for the switch before the transfer
	// and back after it; SetBaud is called with Baud and with the rate that was
	// before ($baudrate), which it is in any case, however the transfer ended.
	// Where U-Boot cannot be talked to after a switch the error is [ErrBaudRate]
	// and says at which rate U-Boot may have stayed: then only a reset helps.
	Baud    int
	SetBaud func(ctx context.Context, baud int) error
}

// protocol is one of those that U-Boot has for files over the console.
type protocol struct {
	op, command, name string
	ready             *regexp.Regexp
	failed            error  // what a transfer is that did not come to its end
	stop              string // ends a transfer from our side
	send              func(*exchange, context.Context) error
}

// exchange is one transfer.
type exchange struct {
	*Session
	protocol
	u       Upload
	content io.Reader
	cmd     string
	m       marker
	stored  int64  // how many bytes will be in RAM
	printed string // what U-Boot printed while an answer was due
	before  int    // the baud rate to go back to; 0 is that of now
	deaf    bool   // U-Boot has a rate that cannot be set here
}

var totalSize = regexp.MustCompile(`Total Size\s*= 0x[0-9a-f]+ = (\d+) Bytes`)

// upload sends a file. Without a deadline in ctx it has a minute and one
// millisecond per byte.
func (s *Session) upload(ctx context.Context, u Upload, p protocol) (Loaded, error) {
	x := &exchange{Session: s, protocol: p, u: u, cmd: p.command + " " + u.Address}
	ctx, cancel := limit(ctx, time.Minute+time.Duration(max(u.Size, 0))*time.Millisecond)
	defer cancel()
	l, err := x.run(ctx)
	if err != nil {
		return l, s.fail(p.op, x.cmd, err)
	}
	return l, nil
}

func (x *exchange) run(ctx context.Context) (l Loaded, err error) {
	if !safeWord.MatchString(x.u.Address) {
		return l, fmt.Errorf("address %q has a character that U-Boot's command line does not take", x.u.Address)
	}
	if x.u.Size < 1 || x.u.Content == nil {
		return l, fmt.Errorf("%w: %s needs the size first, and %d is none", ErrSize, x.name, x.u.Size)
	}
	before, err := x.baudBefore(ctx)
	if err != nil {
		return l, err
	}
	sum := crc32.NewIEEE()
	x.content = io.TeeReader(x.u.Content, sum)
	x.m = x.newMarker()
	if err := x.issue(ctx, x.m, x.cmd); err != nil {
		return l, err
	}
	if err := x.prepare(ctx, before); err != nil {
		return l, err
	}
	if err := x.send(x, ctx); err != nil {
		return l, x.give(err)
	}
	out, err := x.end(ctx)
	if err != nil {
		return l, err
	}
	size := totalSize.FindStringSubmatch(out)
	if size == nil {
		return l, fmt.Errorf("%w: %s did not say how much arrived: %q", ErrSize, x.command, out)
	}
	if l.Stored, err = strconv.ParseInt(size[1], 10, 64); err != nil {
		return l, err
	}
	if l.Stored != x.stored {
		return l, fmt.Errorf("%w: %d bytes arrived, %d were sent", ErrSize, l.Stored, x.stored)
	}
	l.Size = x.u.Size
	l.CRCChecked, err = x.checkCRC(ctx, x.u.Address, l.Size, sum.Sum32())
	return l, err
}

// prepare waits until U-Boot is ready to receive.
func (x *exchange) prepare(ctx context.Context, before int) error {
	var hit match
	err := x.await(ctx, []expect.ExpectOpt{expect.Regexp(x.ready), expect.Regexp(x.m.last()), expect.Regexp(pressEnter)}, fatal(), &hit)
	switch {
	case err != nil:
		return x.give(err)
	case hit.Index == 1: // the command ended before it began
		return x.shown(named(&CommandError{Command: x.cmd, Status: 1, Output: normalise(hit.Before)}))
	case hit.Index == 2:
		return x.switchBaud(ctx, before)
	}
	return nil
}

// end waits for the end of the command and returns what it printed.
func (x *exchange) end(ctx context.Context) (string, error) {
	if err := x.switchBack(ctx); err != nil {
		return "", err
	}
	out, err := x.collectOr(ctx, x.m, x.cmd, nil, x.give)
	return normalise(x.printed) + out, err
}

// give gives a transfer up and proves the prompt again.
func (x *exchange) give(cause error) error {
	if x.before == 0 {
		return x.recoverBy(cause, x.stop, stopTime)
	}
	cause = x.shown(cause)
	if x.con.Err() == nil && !x.deaf && !errors.Is(cause, ErrReset) && !errors.Is(cause, ErrCrash) {
		x.leaveBaud()
	}
	if err := x.setBaud(context.Background(), x.before); err != nil {
		cause = fmt.Errorf("%w; %w", cause, err)
	}
	err := cause
	if x.deaf {
		x.lost = true
	} else {
		err = x.recoverBy(cause, "\x1b", recoverTime)
	}
	if x.lost {
		return fmt.Errorf("%w: %w (U-Boot may have stayed at %d baud: reset the board)", ErrBaudRate, err, x.u.Baud)
	}
	return err
}

// stopTime is how long a session may take to answer again after a transfer: U-Boot
// waits two seconds for each byte that is missing.
const stopTime = 25 * time.Second

// next reads up to n bytes of the file, fewer only at its end.
func (x *exchange) next(block []byte, sent int64) ([]byte, error) {
	part := block[:min(int64(len(block)), x.u.Size-sent)]
	if _, err := io.ReadFull(x.content, part); err != nil {
		return nil, fmt.Errorf("%w: read the file at %d of %d: %w", ErrSize, sent, x.u.Size, err)
	}
	return part, nil
}

// whole sees that the file has no more bytes than it should.
func (x *exchange) whole() error {
	if n, _ := x.content.Read(make([]byte, 1)); n > 0 {
		return fmt.Errorf("%w: the file has more than %d bytes", ErrSize, x.u.Size)
	}
	return nil
}

func (x *exchange) progress(sent int64) {
	if x.u.Progress != nil {
		x.u.Progress(sent)
	}
}

// fileName is the name that is told to U-Boot.
func (x *exchange) fileName() string {
	if len(x.u.Name) > 60 || !safeWord.MatchString(x.u.Name) {
		return "file"
	}
	return x.u.Name
}

// silence is the error for an answer that did not come.
func (x *exchange) silence(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %s in %v", x.failed, what, answerTime)
	}
	return err
}

// tooOften is the error for what U-Boot has not taken.
func (x *exchange) tooOften(what string) error {
	return fmt.Errorf("%w: U-Boot did not take %s in %d tries: is the line clean, with eight bits and without XON/XOFF?", x.failed, what, blockRetries+1)
}

const (
	// blockRetries is how often a block is sent again that U-Boot found damaged
	// or that it did not answer in answerTime.
	blockRetries = 10
	answerTime   = 10 * time.Second
)
