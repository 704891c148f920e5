package ykush

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dutflash/dutflash/power"
)

// hub is a hub that is there.
type hub struct {
	model  model
	serial string
	path   string // of its hidraw device
}

// find looks for the hub in sysfs, where each hidraw device says in the file
// uevent what it is (HID_ID=BUS:VENDOR:PRODUCT, HID_UNIQ=serial number).
func (c *Controller) find() (hub, error) {
	if runtime.GOOS != "linux" {
		return hub{}, fmt.Errorf("%w: a YKUSH is driven on Linux only, not on %s", power.ErrUnsupported, runtime.GOOS)
	}
	class := filepath.Join(c.config.sysfs, "class", "hidraw")
	entries, err := os.ReadDir(class)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hub{}, err
	}
	var hubs []hub
	for _, e := range entries {
		uevent, err := os.ReadFile(filepath.Join(class, e.Name(), "device", "uevent"))
		if err != nil {
			continue // it was unplugged meanwhile
		}
		if h, ok := parseUevent(string(uevent)); ok {
			h.path = filepath.Join(c.config.dev, e.Name())
			hubs = append(hubs, h)
		}
	}
	if c.serial == "" && len(hubs) > 1 {
		return hub{}, fmt.Errorf("%w: there are %d hubs, %s: say which one", power.ErrRefused, len(hubs), list(hubs))
	}
	for _, h := range hubs {
		if c.serial == "" || strings.EqualFold(h.serial, c.serial) {
			if c.port > h.model.ports && c.port != AllPorts {
				return hub{}, fmt.Errorf("%w: a %s has %d port", power.ErrRefused, h.model.name, h.model.ports)
			}
			return h, nil
		}
	}
	if len(hubs) == 0 {
		return hub{}, fmt.Errorf("%w: no YKUSH is plugged in (is there a hidraw device for it?)", power.ErrNotFound)
	}
	return hub{}, fmt.Errorf("%w: plugged in is only %s", power.ErrNotFound, list(hubs))
}

func list(hubs []hub) string {
	var names []string
	for _, h := range hubs {
		names = append(names, h.model.name+" "+h.serial)
	}
	return strings.Join(names, ", ")
}

// parseUevent tells whether a HID device is a hub of ours.
func parseUevent(uevent string) (h hub, ok bool) {
	for line := range strings.Lines(uevent) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "HID_ID":
			id := strings.Split(value, ":")
			if len(id) != 3 {
				return hub{}, false
			}
			v, err1 := strconv.ParseUint(id[1], 16, 32)
			p, err2 := strconv.ParseUint(id[2], 16, 32)
			i := slices.IndexFunc(models(), func(m model) bool { return uint64(m.product) == p })
			if err1 != nil || err2 != nil || v != vendor || i < 0 {
				return hub{}, false
			}
			h.model, ok = models()[i], true
		case "HID_UNIQ":
			h.serial = value
		}
	}
	return h, ok
}

// exchange sends a command and returns the second byte of the answer.
func (h hub) exchange(ctx context.Context, command byte) (byte, error) {
	// Without blocking, so that a deadline ends the wait for an answer.
	f, err := os.OpenFile(h.path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: %w (a udev rule can give this user access)", power.ErrAuth, err)
		}
		return 0, err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := talk(f, h.model.report, command)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", h.path, err)
	}
	return answer, nil
}

// talk writes a report and reads the answer. hidraw wants the number of the
// report first, which is 0 for a device that numbers none, and gives none.
func talk(f *os.File, size int, command byte) (byte, error) {
	report := make([]byte, 1+size)
	report[1], report[2] = command, command // the first edition wants it twice
	if _, err := f.Write(report); err != nil {
		return 0, fmt.Errorf("sending the command: %w", err)
	}
	answer := make([]byte, size)
	n, err := f.Read(answer)
	switch {
	case err != nil:
		return 0, fmt.Errorf("waiting for the answer: %w", err)
	case n < 2:
		return 0, fmt.Errorf("the answer has %d bytes", n)
	case answer[0] != accepted:
		return 0, fmt.Errorf("%w: the answer to command 0x%02x is 0x%02x", power.ErrRefused, command, answer[0])
	}
	return answer[1], nil
}
