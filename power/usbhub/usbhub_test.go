package usbhub_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/usbhub"
)

// kernel is a fake one: a tree as /sys/bus/usb/devices has it, and hubs that
// answer control transfers as the USB specifications say.
type kernel struct {
	t       *testing.T
	devices string

	mu   sync.Mutex
	hubs map[string]*hub // by their nodes
	fail error
}

// hub answers the requests of the hub class.
type hub struct {
	super     bool
	switching byte // of wHubCharacteristics
	deaf      bool // takes the request and does nothing
	on        map[uint16]bool
}

func newKernel(t *testing.T) *kernel {
	return &kernel{t: t, devices: t.TempDir(), hubs: map[string]*hub{}}
}

func (k *kernel) write(name, text string) {
	k.t.Helper()
	path := filepath.Join(k.devices, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		k.t.Fatal(err)
	}
}

// plug adds a hub with four ports.
func (k *kernel) plug(name string, bus, device int, h *hub) *hub {
	k.t.Helper()
	speed := "480\n"
	if h.super {
		speed = "5000\n"
	}
	for attribute, text := range map[string]string{
		"bDeviceClass": "09\n", "maxchild": "4\n", "speed": speed,
		"busnum": fmt.Sprintf("%d\n", bus), "devnum": fmt.Sprintf("%d\n", device),
	} {
		k.write(name+"/"+attribute, text)
	}
	h.on = map[uint16]bool{1: true, 2: true, 3: true, 4: true}
	k.hubs[fmt.Sprintf("/nodes/%03d/%03d", bus, device)] = h
	return h
}

func (k *kernel) control(node string, r usbhub.Transfer) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	h := k.hubs[filepath.ToSlash(node)]
	if h == nil {
		return &fs.PathError{Op: "open", Path: node, Err: fs.ErrNotExist}
	}
	switch {
	case r.RequestType == 0x23 && r.Value == 8 && (r.Request == 1 || r.Request == 3) && len(r.Data) == 0:
		if !h.deaf {
			h.on[r.Index] = r.Request == 3
		}
	case r.RequestType == 0xa3 && r.Request == 0 && r.Value == 0 && len(r.Data) == 4:
		status := uint16(0)
		if h.on[r.Index] && h.super {
			status = 0x200
		} else if h.on[r.Index] {
			status = 0x100
		}
		binary.LittleEndian.PutUint16(r.Data, status)
	case r.RequestType == 0xa0 && r.Request == 6 && (r.Value == 0x2900 && !h.super || r.Value == 0x2a00 && h.super):
		copy(r.Data, []byte{9, byte(r.Value >> 8), 4, h.switching, 0, 50, 100})
	default:
		k.t.Errorf("a request that no hub knows: %+v", r)
	}
	return nil
}

func (k *kernel) controller(location string, port int, opts ...usbhub.Option) *usbhub.Controller {
	k.t.Helper()
	quick := usbhub.WithSwitching(power.Switching{Timeout: time.Minute, Tries: 2, Pause: time.Millisecond})
	c, err := usbhub.New(location, port, append([]usbhub.Option{quick, usbhub.WithKernel(k.devices, "/nodes", k.control)}, opts...)...)
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

func want(t *testing.T, c *usbhub.Controller, on bool) {
	t.Helper()
	if got, err := c.State(t.Context()); err != nil || got != on {
		t.Errorf("state %v, %v, want %v", got, err, on)
	}
}

// TestRequests switches through usbfs, on kernels without the file.
func TestRequests(t *testing.T) {
	for _, tc := range []struct {
		name, location, device string
		super                  bool
	}{{"usb2", "1-1.4", "1-1.4", false}, {"usb3", "2-1", "2-1", true}, {"root hub", "1", "usb1", false}, {"root hub by name", "usb1", "usb1", false}} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKernel(t)
			h := k.plug(tc.device, 1, 17, &hub{switching: 1, super: tc.super})
			c := k.controller(tc.location, 2)
			want(t, c, true)
			for range 2 { // it is idempotent
				if err := c.Off(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			want(t, c, false)
			if !h.on[1] || h.on[2] || !h.on[3] {
				t.Errorf("the ports that are on: %v", h.on)
			}
			if err := c.On(t.Context()); err != nil {
				t.Fatal(err)
			}
			want(t, c, true)
		})
	}
}

// TestKernelFile switches through the file of Linux 6.0, on both sides of a USB 3
// hub's socket.
func TestKernelFile(t *testing.T) {
	k := newKernel(t)
	k.plug("usb1", 1, 1, &hub{switching: 1})
	k.plug("usb2", 2, 1, &hub{switching: 1, super: true})
	mine, peer := "1-0:1.0/usb1-port3/disable", "2-0:1.0/usb2-port1/disable"
	k.write(mine, "0\n")
	k.write(peer, "0\n")
	if err := os.Symlink(filepath.Join(k.devices, filepath.Dir(peer)), filepath.Join(k.devices, filepath.Dir(mine), "peer")); err != nil {
		t.Skip("this computer makes no symbolic links, which the kernel's tree has:", err)
	}
	files := func() string {
		a, err := os.ReadFile(filepath.Join(k.devices, mine))
		b, err2 := os.ReadFile(filepath.Join(k.devices, peer))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return strings.TrimSpace(string(a)) + strings.TrimSpace(string(b))
	}
	both, alone := k.controller("1", 3), k.controller("1", 3, usbhub.WithoutPeer())
	for _, step := range []struct {
		name   string
		do     func(context.Context) error
		files  string
		on, me bool
	}{
		{"off", both.Off, "11", false, false},
		{"on alone", alone.On, "01", true, true},
		{"off alone", alone.Off, "11", false, false},
		{"on", both.On, "00", true, true},
		{"off alone while the peer is on", alone.Off, "10", true, false},
	} {
		if err := step.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := files(); got != step.files {
			t.Errorf("%s: the files say %s, want %s", step.name, got, step.files)
		}
		want(t, both, step.on)
		want(t, alone, step.me)
	}
	// A user without the right to ask the hub may have that to the file.
	k.fail = fs.ErrPermission
	if err := both.Off(t.Context()); err != nil || files() != "11" {
		t.Errorf("off without usbfs: %v, the files say %s", err, files())
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name     string
		location string
		port     int
		hub      hub
		fail     error
		is       error
		says     string
	}{
		{"no hub", "1-2", 1, hub{switching: 1}, nil, power.ErrNotFound, "hubs are at: 1-1"},
		{"no such port", "1-1", 5, hub{switching: 1}, nil, power.ErrNotFound, "has 4 ports"},
		{"together", "1-1", 1, hub{switching: 0}, nil, power.ErrUnsupported, "all its ports together"},
		{"never", "1-1", 1, hub{switching: 2}, nil, power.ErrUnsupported, "cannot switch"},
		{"not a hub", "1-3", 1, hub{switching: 1}, nil, power.ErrNotFound, "is no hub"},
		{"permission", "1-1", 1, hub{switching: 1}, &fs.PathError{Op: "open", Path: "/nodes/001/005", Err: fs.ErrPermission}, fs.ErrPermission, "udev rule"},
		{"unplugged", "1-1", 1, hub{switching: 1}, syscall.ENODEV, syscall.ENODEV, "try 2 of 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKernel(t)
			k.plug("1-1", 1, 5, &tc.hub)
			k.write("1-3/bDeviceClass", "00\n")
			k.fail = tc.fail
			err := k.controller(tc.location, tc.port).Off(t.Context())
			var typed *power.Error
			if !errors.Is(err, tc.is) || !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %v that says %q", err, tc.is, tc.says)
			}
			if device := fmt.Sprintf("port %d of USB hub %s", tc.port, tc.location); err != nil && !strings.Contains(err.Error(), device) {
				t.Errorf("%v does not name %s", err, device)
			}
		})
	}
}

// TestDeafHub: what the hub did not do is noticed.
func TestDeafHub(t *testing.T) {
	k := newKernel(t)
	k.plug("1-1", 1, 5, &hub{switching: 1, deaf: true})
	c := k.controller("1-1", 1, usbhub.WithSwitching(power.Switching{Timeout: 10 * time.Millisecond, Tries: 1}))
	if err := c.Off(t.Context()); !errors.Is(err, power.ErrState) {
		t.Errorf("got %v, want ErrState", err)
	}
}

// TestFoundAgain: a hub that is plugged in again has another device number.
func TestFoundAgain(t *testing.T) {
	k := newKernel(t)
	k.plug("1-1", 1, 5, &hub{switching: 1})
	c := k.controller("1-1", 1)
	if err := c.Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	clear(k.hubs)
	again := k.plug("1-1", 1, 6, &hub{switching: 1})
	if err := c.Off(t.Context()); err != nil || again.on[1] {
		t.Errorf("%v; the ports that are on: %v", err, again.on)
	}
}

// TestThisComputer asks the real kernel about a node that is no USB device.
func TestThisComputer(t *testing.T) {
	err := usbhub.Control(t.Context(), os.DevNull)
	if runtime.GOOS != "linux" {
		if !errors.Is(err, power.ErrUnsupported) {
			t.Errorf("got %v, want ErrUnsupported", err)
		}
		return
	}
	if !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("got %v, want ENOTTY", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		location string
		port     int
	}{{"", 1}, {"1-", 1}, {"../1-1", 1}, {"1-1.4:1.0", 1}, {"0", 1}, {"1-1", 0}, {"1-1", 256}} {
		if _, err := usbhub.New(tc.location, tc.port); err == nil {
			t.Errorf("hub %q, port %d was taken", tc.location, tc.port)
		}
	}
	if _, err := usbhub.New("1-1", 1, usbhub.WithSwitching(power.Switching{Tries: -1})); err == nil {
		t.Error("a negative number of tries was taken")
	}
}

func ExampleNew() {
	c, err := usbhub.New("1-1.4", 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	var _ power.Controller = c
	_, err = usbhub.New("hub", 2)
	fmt.Println(err)
	// Output: power usbhub: hub "hub" is no location such as 1-1.4, or 1 for a root hub (uhubctl or lsusb -t shows them)
}
