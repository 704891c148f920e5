package usbhub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/power"
)

// system is where the kernel shows its hubs.
type system struct {
	devices string // /sys/bus/usb/devices
	nodes   string // /dev/bus/usb
	control func(ctx context.Context, node string, t *transfer) error
}

func linux() system { return system{"/sys/bus/usb/devices", "/dev/bus/usb", control} }

// socket is one side of a port.
type socket struct {
	system
	hub  string // as the kernel calls the device: 1-1.4 or usb1
	port int
}

// find returns the port, and its peer where the kernel knows it.
func (s system) find(hub string, port int, alone bool) ([]socket, error) {
	if _, err := strconv.Atoi(hub); err == nil {
		hub = "usb" + hub
	}
	p := socket{s, hub, port}
	if _, err := os.Stat(filepath.Join(s.devices, hub)); err != nil {
		if other := unsupported(); other != nil {
			return nil, other
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: no USB device at %s (hubs are at: %s)", power.ErrNotFound, hub, s.hubs())
		}
		return nil, err
	}
	if class, err := p.attribute("bDeviceClass"); err != nil || class != "09" {
		return nil, errors.Join(fmt.Errorf("%w: the USB device at %s is no hub (hubs are at: %s)", power.ErrNotFound, hub, s.hubs()), err)
	}
	count, err := p.number("maxchild")
	if err != nil {
		return nil, err
	}
	if port > count {
		return nil, fmt.Errorf("%w: the hub at %s has %d ports", power.ErrNotFound, hub, count)
	}
	found := []socket{p}
	peer, err := filepath.EvalSymlinks(filepath.Join(p.directory(), "peer"))
	if err != nil || alone { // most have none
		return found, nil
	}
	device, number, ok := strings.Cut(filepath.Base(peer), "-port")
	other, err := strconv.Atoi(number)
	if !ok || err != nil {
		return nil, fmt.Errorf("the kernel calls the port's peer %s, which is no port", peer)
	}
	return append(found, socket{s, device, other}), nil
}

// hubs lists what there is, for an error.
func (s system) hubs() string {
	entries, _ := os.ReadDir(s.devices) // no entry is an answer, too
	var names []string
	for _, e := range entries {
		if class, err := (socket{s, e.Name(), 0}).attribute("bDeviceClass"); err == nil && class == "09" {
			names = append(names, e.Name())
		}
	}
	if names == nil {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// directory is that of the port, below the hub's only interface. The interface of
// a root hub, usb1, is 1-0:1.0.
func (p socket) directory() string {
	hub := p.hub
	if bus, ok := strings.CutPrefix(hub, "usb"); ok {
		hub = bus + "-0"
	}
	return filepath.Join(p.devices, hub+":1.0", fmt.Sprintf("%s-port%d", p.hub, p.port))
}

func (p socket) attribute(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(p.devices, p.hub, name))
	return strings.TrimSpace(string(text)), err
}

func (p socket) number(name string) (int, error) {
	text, err := p.attribute(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s of the USB device %s is %q, which is no number", name, p.hub, text)
	}
	return n, nil
}

// set uses the kernel's file, or usbfs where there is none.
func (p socket) set(ctx context.Context, on bool) error {
	file := filepath.Join(p.directory(), "disable")
	_, err := os.Stat(file)
	direct := errors.Is(err, fs.ErrNotExist)
	if err := p.switches(ctx); err != nil && (direct || !errors.Is(err, fs.ErrPermission)) {
		return err
	}
	if direct {
		return p.setDirectly(ctx, on)
	}
	value := "1"
	if on {
		value = "0"
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	return explain(err)
}

// state is the bit of the hub's answer, which the kernel's file shows too.
func (p socket) state(ctx context.Context) (bool, error) {
	file := filepath.Join(p.directory(), "disable")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p.stateDirectly(ctx)
	}
	if err != nil {
		return false, explain(err)
	}
	switch value := strings.TrimSpace(string(text)); value {
	case "0":
		return true, nil
	case "1":
		return false, nil
	default:
		return false, fmt.Errorf("%s says %q, which is neither 0 nor 1", file, value)
	}
}

func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (a udev rule may give it to your group: see the documentation of power/usbhub; or run as root)", err)
	}
	return err
}
