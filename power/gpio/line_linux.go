package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/warthog618/go-gpiocdev"

	"github.com/dutflash/dutflash/power"
)

// request asks the kernel for a line: as an output with the value, or, where that
// is nil, as it is, to look at it.
func request(chip, line string, c config, value *int) (held, error) {
	opts := []gpiocdev.LineReqOption{gpiocdev.WithConsumer("dutflash")}
	if value == nil {
		opts = append(opts, gpiocdev.LineReqOption(gpiocdev.AsIs))
	} else {
		opts = append(opts, gpiocdev.AsOutput(*value))
		switch c.drive {
		case OpenDrain:
			opts = append(opts, gpiocdev.AsOpenDrain)
		case OpenSource:
			opts = append(opts, gpiocdev.AsOpenSource)
		}
		switch c.bias {
		case PullUp:
			opts = append(opts, gpiocdev.WithPullUp)
		case PullDown:
			opts = append(opts, gpiocdev.WithPullDown)
		case NoBias:
			opts = append(opts, gpiocdev.WithBiasDisabled)
		}
	}
	if c.activeLow {
		opts = append(opts, gpiocdev.AsActiveLow)
	}
	offset, err := find(chip, line)
	if err != nil {
		return nil, explain(err)
	}
	l, err := gpiocdev.RequestLine(chip, offset, opts...)
	if err != nil {
		return nil, explain(err)
	}
	return l, nil
}

// find is the offset of a line.
func find(chip, line string) (int, error) {
	if n, err := strconv.Atoi(line); err == nil {
		return n, nil
	}
	c, err := gpiocdev.NewChip(strings.TrimPrefix(chip, "/dev/"))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	offset, err := c.FindLine(line)
	if err != nil {
		return 0, fmt.Errorf("%w: the chip has no line named %q: %w", power.ErrNotFound, line, err)
	}
	return offset, nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, power.ErrNotFound):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, gpiocdev.ErrNotCharacterDevice), errors.Is(err, gpiocdev.ErrNotFound):
		return fmt.Errorf("%w: there is no such GPIO chip: %w", power.ErrNotFound, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, gpiocdev.ErrPermissionDenied):
		return fmt.Errorf("%w: %w (is this user in the group of the chip, often gpio?)", power.ErrAuth, err)
	case errors.Is(err, gpiocdev.ErrInvalidOffset), errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w: %w (has the chip that line?)", power.ErrRefused, err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("another program or driver has the line (gpioinfo tells which): %w", err)
	}
	return err
}
