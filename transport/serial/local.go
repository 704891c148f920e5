package serial

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.bug.st/serial"
)

// localPort is what a URL says about a port of this machine.
type localPort struct {
	path   string
	mode   *serial.Mode
	flow   string // "" is not asked for
	keep   bool   // do not let go of DTR and RTS when the port is closed
	reopen time.Duration
}

// openLocal opens a port of this machine.
func openLocal(ref string) (io.ReadWriteCloser, error) {
	l, err := parseLocal(ref)
	if err != nil {
		return nil, err
	}
	if l.reopen == 0 {
		return l.open()
	}
	return openReopening(l.reopen, l.open)
}

// parseLocal reads what a local port has beside its line settings.
func parseLocal(ref string) (l localPort, err error) {
	path, query, _ := strings.Cut(ref, "?")
	l.path = path
	values, err := url.ParseQuery(query)
	if err != nil {
		return l, fmt.Errorf("%w: %w", ErrURL, err)
	}
	for _, own := range []struct {
		key string
		set func(value string) error
	}{
		{"reopen", func(text string) (err error) {
			if l.reopen, err = time.ParseDuration(text); err != nil || l.reopen <= 0 {
				return fmt.Errorf("reopen=%s is no positive time such as 30s", text)
			}
			return nil
		}},
		{"flow", func(text string) error {
			l.flow = text
			if !slices.Contains([]string{"none", "rtscts", "xonxoff"}, text) {
				return fmt.Errorf("flow=%s is none of none, rtscts and xonxoff", text)
			}
			return nil
		}},
		{"hupcl", func(text string) error {
			hang, err := choice("hupcl", text, lines)
			l.keep = !hang
			return err
		}},
	} {
		if !values.Has(own.key) {
			continue
		}
		if n := len(values[own.key]); n > 1 {
			return l, fmt.Errorf("%w: %s is given %d times", ErrURL, own.key, n)
		}
		if err := own.set(values.Get(own.key)); err != nil {
			return l, fmt.Errorf("%w: %w", ErrURL, err)
		}
		values.Del(own.key)
	}
	if l.mode, err = parseMode(values.Encode()); err != nil {
		return l, err
	}
	if l.mode.StopBits == serial.OnePointFiveStopBits && runtime.GOOS != "windows" {
		// What a UART does for two stop bits behind five data bits.
		if l.mode.StopBits = serial.TwoStopBits; l.mode.DataBits != 5 {
			return l, fmt.Errorf("%w: stop=1.5 of a local port needs data=5", ErrURL)
		}
	}
	return l, nil
}

func (l localPort) open() (io.ReadWriteCloser, error) {
	lock, err := lockPort(l.path)
	var p serial.Port
	if err == nil {
		if p, err = serial.Open(l.path, l.mode); err != nil {
			err = errors.Join(openError(err), lock.Close())
		} else if err = setLine(lock, l.flow, l.keep); err != nil {
			err = errors.Join(err, p.Close(), lock.Close())
		}
	}
	switch {
	case errors.Is(err, ErrBusy):
		err = fmt.Errorf("%w%s", err, holder(l.path))
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w%s%s", err, others(l.path), rateHint(l.path))
	}
	if err != nil {
		return nil, err
	}
	return &locked{Port: p, lock: lock, mode: *l.mode}, nil
}

// rateHint is for a name that ends in a baud rate, as other programs take it.
func rateHint(path string) string {
	i := strings.LastIndexAny(path, ":@,")
	if i < 0 {
		return ""
	}
	if _, err := number("baud", path[i+1:], lowestBaud, highestBaud); err != nil {
		return ""
	}
	return fmt.Sprintf(" (is %s a baud rate? That is written %s?baud=%[1]s)", path[i+1:], path[:i])
}

// others says which adapters are plugged in, in place of a port that is not there: by
// the names below /dev/serial, which stay the same.
func others(path string) string {
	dir := filepath.Dir(path)
	below := filepath.Dir(dir) == "/dev/serial"
	if !below {
		dir = "/dev/serial/by-id"
	}
	if runtime.GOOS != "linux" {
		return ""
	}
	entries, _ := os.ReadDir(dir) // none is an answer, too
	if len(entries) == 0 {
		return " (no USB serial adapter is plugged in)"
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if !below {
			name = filepath.Join(dir, name)
		}
		names = append(names, name)
	}
	return fmt.Sprintf(" (plugged in: %s)", strings.Join(names, ", "))
}

// locked is a port with its lock.
type locked struct {
	serial.Port
	lock io.Closer

	mu   sync.Mutex
	mode serial.Mode // as it is now
}

// Close closes the port and frees the lock.
func (l *locked) Close() error { return errors.Join(l.Port.Close(), l.lock.Close()) }

// parseMode reads the line settings of a URL's query.
func parseMode(query string) (*serial.Mode, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	mode := &serial.Mode{BaudRate: 115200, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit}
	for key, all := range values {
		if len(all) != 1 {
			return nil, fmt.Errorf("%w: %s is given %d times", ErrURL, key, len(all))
		}
		if err := set(mode, key, all[0]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrURL, err)
		}
	}
	return mode, nil
}

var (
	parities = map[string]serial.Parity{
		"none": serial.NoParity, "odd": serial.OddParity, "even": serial.EvenParity,
		"mark": serial.MarkParity, "space": serial.SpaceParity,
	}
	stopBits = map[string]serial.StopBits{"1": serial.OneStopBit, "1.5": serial.OnePointFiveStopBits, "2": serial.TwoStopBits}
	lines    = map[string]bool{"on": true, "off": false}
)

// The baud rates that a port may be asked for.
const lowestBaud, highestBaud = 50, 12_000_000

// set applies one line setting.
func set(mode *serial.Mode, key, value string) (err error) {
	switch key {
	case "baud":
		mode.BaudRate, err = number(key, value, lowestBaud, highestBaud)
	case "data":
		mode.DataBits, err = number(key, value, 5, 8)
	case "parity":
		mode.Parity, err = choice(key, value, parities)
	case "stop":
		mode.StopBits, err = choice(key, value, stopBits)
	case "dtr", "rts":
		if mode.InitialStatusBits == nil {
			mode.InitialStatusBits = &serial.ModemOutputBits{DTR: true, RTS: true}
		}
		line := &mode.InitialStatusBits.DTR
		if key == "rts" {
			line = &mode.InitialStatusBits.RTS
		}
		*line, err = choice(key, value, lines)
	default:
		err = fmt.Errorf("unknown setting %q (known: baud, data, parity, stop, dtr, rts; for a local port also flow, hupcl and reopen)", key)
	}
	return err
}

func number(key, value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s=%s is not a number from %d to %d", key, value, low, high)
	}
	return n, nil
}

func choice[T any](key, value string, known map[string]T) (T, error) {
	v, ok := known[value]
	if !ok {
		return v, fmt.Errorf("%s=%s is not known", key, value)
	}
	return v, nil
}

// openError names what a person can do something about.
func openError(err error) error {
	var own *serial.PortError
	if errors.As(err, &own) {
		switch own.Code() {
		case serial.PortNotFound:
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		case serial.PortBusy:
			return fmt.Errorf("%w: %w", ErrBusy, err)
		case serial.PermissionDenied:
			return fmt.Errorf("%w: %w (is this user in the port's group, often dialout?)", ErrPermission, err)
		case serial.InvalidSerialPort:
			// The library has one code for all that it does with a port.
			switch text := err.Error(); {
			case strings.Contains(text, "modem bits"):
				return fmt.Errorf("%w (a port without modem lines? leave dtr and rts out of the URL)", err)
			case strings.Contains(text, "configuring port"):
				return fmt.Errorf("the port does not take these line settings: %w", err)
			}
			return fmt.Errorf("%w: %w (not a serial port)", ErrNotFound, err)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return err
}
