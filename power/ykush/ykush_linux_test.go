package ykush_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/ykush"
)

// machine is a sysfs and a dev directory.
type machine struct {
	t          *testing.T
	sysfs, dev string
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, sysfs: t.TempDir(), dev: t.TempDir()}
	// What else has a hidraw device: a mouse.
	m.uevent("hidraw0", "0000046D", "0000C077", "")
	return m
}

func (m *machine) opts(s power.Switching) []ykush.Option {
	return []ykush.Option{ykush.WithRoots(m.sysfs, m.dev), ykush.WithSwitching(s)}
}

func (m *machine) uevent(name, vendor, product, serial string) {
	m.t.Helper()
	dir := filepath.Join(m.sysfs, "class", "hidraw", name, "device")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
	text := "DRIVER=hid-generic\nHID_ID=0003:" + vendor + ":" + product + "\nHID_NAME=Yepkit\nHID_PHYS=usb-1/input0\nHID_UNIQ=" + serial + "\nMODALIAS=hid:b0003\n"
	if err := os.WriteFile(filepath.Join(dir, "uevent"), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// board is a hub that speaks Yepkit's protocol on a pty in place of hidraw.
type board struct {
	mu     sync.Mutex
	on     [4]bool
	stuck  bool
	mute   bool
	wrong  bool
	master *os.File
	tty    *os.File
	done   chan struct{}
}

// plug puts a hub into the machine; report is the size of its reports.
func (m *machine) plug(name, product, serial string, report int) *board {
	m.t.Helper()
	b := &board{done: make(chan struct{})}
	var err error
	if b.master, b.tty, err = pty.Open(); err != nil {
		m.t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(b.tty.Fd())); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(b.tty.Name(), filepath.Join(m.dev, name)); err != nil {
		m.t.Fatal(err)
	}
	m.uevent(name, "000004D8", "0000"+product, serial)
	go b.serve(report)
	m.t.Cleanup(func() { b.unplug() })
	return b
}

func (b *board) unplug() {
	b.tty.Close()
	b.master.Close()
	<-b.done
}

func (b *board) serve(size int) {
	defer close(b.done)
	report := make([]byte, 1+size)
	for {
		if _, err := io.ReadFull(b.master, report); err != nil {
			return
		}
		b.mu.Lock()
		command, answer := report[1], make([]byte, size)
		port := command & 0x0f
		answer[0], answer[1] = 1, command
		switch action := command & 0xf0; {
		case report[0] != 0 || (port < 1 || port > 3) && (port != 0xa || action == 0x20) || b.wrong:
			answer[0] = 0xff
		case action == 0x20:
			answer[1] = port
			if b.on[port] {
				answer[1] |= 0x10
			}
		case !b.stuck && port == 0xa:
			b.on = [4]bool{false, action == 0x10, action == 0x10, action == 0x10}
		case !b.stuck:
			b.on[port] = action == 0x10
		}
		mute := b.mute
		b.mu.Unlock()
		if !mute {
			b.master.Write(answer)
		}
	}
}

func (b *board) port(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on[n]
}

// set changes the hub. An answer that nobody waited for is dropped, as hidraw does
// when the device is closed, and a pty does not.
func (b *board) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	unix.IoctlSetInt(int(b.tty.Fd()), unix.TCFLSH, unix.TCIFLUSH)
}

func TestModels(t *testing.T) {
	for _, tc := range []struct {
		name, product string
		report, port  int
	}{
		{"YKUSH", "F2F7", 64, 3},
		{"YKUSH of the first edition", "0042", 5, 2},
		{"YKUSH3", "F11B", 64, 1},
		{"YKUSH XS", "F0CD", 64, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMachine(t)
			m.plug("hidraw1", "F2F7", "YK11111", 64)
			b := m.plug("hidraw2", tc.product, "YK22222", tc.report)
			c, err := ykush.New("yk22222", tc.port, m.opts(power.Switching{})...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []bool{true, true, false} {
				do := c.Off
				if want {
					do = c.On
				}
				if err := do(t.Context()); err != nil {
					t.Fatal(err)
				}
				if on, err := c.State(t.Context()); err != nil || on != want || b.port(tc.port) != want {
					t.Errorf("state %v, %v; the port is %v; want %v", on, err, b.port(tc.port), want)
				}
			}
		})
	}
}

// TestAllPorts: a hub whose ports feed one board together.
func TestAllPorts(t *testing.T) {
	for product, last := range map[string]int{"F2F7": 3, "F0CD": 1} {
		m := newMachine(t)
		b := m.plug("hidraw1", product, "YK1", 64)
		c, err := ykush.New("YK1", ykush.AllPorts, m.opts(power.Switching{Tries: 1, Timeout: 10 * time.Second})...)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, false} {
			do := c.Off
			if want {
				do = c.On
			}
			if err := do(t.Context()); err != nil || b.port(1) != want || b.port(last) != want {
				t.Errorf("%s: %v; the ports are %v and %v, want %v", product, err, b.port(1), b.port(last), want)
			}
		}
		b.set(func() { b.on[last] = true })
		if on, err := c.State(t.Context()); err != nil || !on {
			t.Errorf("%s: state %v, %v while a port is on", product, on, err)
		}
	}
}

func TestFailures(t *testing.T) {
	m := newMachine(t)
	on := func(serial string, port int, s power.Switching) error {
		t.Helper()
		c, err := ykush.New(serial, port, m.opts(s)...)
		if err != nil {
			t.Fatal(err)
		}
		return c.On(t.Context())
	}
	is := func(err, want error, text string) {
		t.Helper()
		var typed *power.Error
		if !errors.Is(err, want) || !errors.As(err, &typed) || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %v with %q", err, want, text)
		}
	}
	once := power.Switching{Tries: 1, Timeout: 10 * time.Second}
	short := power.Switching{Tries: 1, Timeout: 200 * time.Millisecond}
	is(on("YK1", 1, once), power.ErrNotFound, "no YKUSH is plugged in")
	b := m.plug("hidraw1", "F0CD", "YK1", 64)
	is(on("YK2", 1, once), power.ErrNotFound, "only YKUSH XS YK1")
	is(on("", 2, once), power.ErrRefused, "has 1 port")
	if err := on("", 1, once); err != nil || !b.port(1) {
		t.Errorf("the only hub: %v", err)
	}
	m.plug("hidraw2", "F2F7", "YK2", 64)
	is(on("", 1, once), power.ErrRefused, "there are 2 hubs")
	b.set(func() { b.on[1], b.stuck = false, true })
	is(on("YK1", 1, short), power.ErrState, "YK1 port 1")
	b.set(func() { b.wrong = true })
	is(on("YK1", 1, once), power.ErrRefused, "0xff")
	b.set(func() { b.mute = true })
	is(on("YK1", 1, short), context.DeadlineExceeded, "hidraw1")

	for _, f := range []func() (*ykush.Controller, error){
		func() (*ykush.Controller, error) { return ykush.New("x", 0) },
		func() (*ykush.Controller, error) { return ykush.New("x", 4) },
		func() (*ykush.Controller, error) { return ykush.New("a/b", 1) },
		func() (*ykush.Controller, error) { return ykush.New("x", 1, ykush.WithRoots("", "")) },
	} {
		if _, err := f(); err == nil {
			t.Error("New took nonsense")
		}
	}
}

// TestReplug takes the hub out and puts it back under another name while On
// tries.
func TestReplug(t *testing.T) {
	m := newMachine(t)
	b := m.plug("hidraw1", "F2F7", "YK1", 64)
	c, err := ykush.New("YK1", 1, m.opts(power.Switching{Tries: 100, Pause: 20 * time.Millisecond})...)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.unplug()
	b.done = make(chan struct{}) // for the unplugging at the end
	close(b.done)
	if err := os.RemoveAll(filepath.Join(m.sysfs, "class", "hidraw", "hidraw1")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Off(t.Context()) }()
	back := m.plug("hidraw7", "F2F7", "YK1", 64)
	back.set(func() { back.on[1] = true })
	if err := <-done; err != nil {
		t.Errorf("after the hub came back: %v", err)
	}
}

func FuzzUevent(f *testing.F) {
	f.Add("HID_ID=0003:000004D8:0000F2F7\nHID_UNIQ=YK1\n")
	f.Add("HID_ID=:::\n=\nHID_UNIQ\n")
	f.Fuzz(func(t *testing.T, text string) {
		m := newMachine(t)
		path := filepath.Join(m.sysfs, "class", "hidraw", "hidraw0", "device", "uevent")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := ykush.New("YK1", 1, m.opts(power.Switching{Tries: 1})...)
		if err != nil {
			t.Fatal(err)
		}
		// There is no device file, so nothing can succeed.
		if _, err := c.State(t.Context()); err == nil {
			t.Error("a hub without a device answered")
		}
	})
}

func ExampleNew() {
	board, err := ykush.New("YK25371", 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	var _ power.StateReader = board
	// power.Cycle(ctx, board, 0) cycles what hangs on port 2.
}
