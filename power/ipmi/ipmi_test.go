package ipmi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/ipmi"
)

func TestSwitch(t *testing.T) {
	for _, tc := range []struct {
		name, before string
		opts         []ipmi.Option
		file         string
		on           bool
		calls        string
	}{
		{"on", "0", nil, "", true, "power 1"},
		{"on again", "1", nil, "", true, ""},
		{"off", "1", nil, "", false, "power 0"},
		{"off again", "0", nil, "", false, ""},
		{"graceful", "1", []ipmi.Option{ipmi.WithGracefulShutdown(time.Minute)}, "", false, "shutdown"},
		{"graceful in vain", "1", []ipmi.Option{ipmi.WithGracefulShutdown(time.Millisecond)}, "stubborn", false, "shutdown power 0"},
		{"as operator", "1", []ipmi.Option{ipmi.WithLogin("op", "operates"), ipmi.WithOperator()}, "", false, "power 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBMC(t, tc.before)
			if tc.file != "" {
				b.write(tc.file, "", 0o600)
			}
			c := b.controller(tc.opts...)
			do, want := c.Off, "off"
			if tc.on {
				do, want = c.On, "on"
			}
			if err := do(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(b.lines("calls"), " "); got != tc.calls {
				t.Errorf("the chassis was told %q, want %q", got, tc.calls)
			}
			if got := b.power(); got != want {
				t.Errorf("ipmitool says the power is %q", got)
			}
			if on, err := c.State(t.Context()); err != nil || on != tc.on {
				t.Errorf("state %v, %v", on, err)
			}
		})
	}
}

func TestCycle(t *testing.T) {
	for _, tc := range []struct {
		name, before string
		opts         []ipmi.Option
		calls        []string
	}{
		{"off and on", "1", nil, []string{"power 0", "power 1"}},
		{"by itself", "1", []ipmi.Option{ipmi.WithPowerCycle()}, []string{"power 0", "power 1"}},
		{"by itself while off", "0", []ipmi.Option{ipmi.WithPowerCycle()}, []string{"power 1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBMC(t, tc.before)
			if err := power.Cycle(t.Context(), b.controller(tc.opts...), time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if got := b.lines("calls"); !slices.Equal(got, tc.calls) {
				t.Errorf("the chassis was told %q, want %q", got, tc.calls)
			}
			if got := b.power(); got != "on" {
				t.Errorf("ipmitool says the power is %q", got)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	b := newBMC(t, "1")
	for _, tc := range []struct {
		name string
		opts []ipmi.Option
		is   error
		says string
	}{
		{"wrong password", []ipmi.Option{ipmi.WithLogin(user, "wr0ng-pass")}, power.ErrAuth, "the password is wrong"},
		{"no password", []ipmi.Option{ipmi.WithLogin(user, "")}, power.ErrAuth, "the password is wrong"},
		{"no such user", []ipmi.Option{ipmi.WithLogin("nobody", password)}, power.ErrAuth, "no such user"},
		{"other cipher suite", []ipmi.Option{ipmi.WithCipherSuite(17)}, power.ErrRefused, "cipher suite"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := b.controller(tc.opts...).Off(t.Context())
			var typed *power.Error
			if !errors.Is(err, tc.is) || !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "IPMI chassis of "+b.address) {
				t.Errorf("got %v, want %v that says %q", err, tc.is, tc.says)
			}
			if err != nil {
				for _, secret := range []string{password, "wr0ng-pass"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the password is in %v", err)
					}
				}
			}
		})
	}
	if got := b.lines("calls"); !slices.Equal(got, []string{""}) {
		t.Errorf("the chassis was told %q", got)
	}
}

// says puts a program in ipmitool's place that says what it was seen to say where
// ipmi_sim, which gives every privilege to everybody, does not bring it to; the
// next time the power is on.
func says(t *testing.T, text string) {
	t.Helper()
	testtool.Need(t, "sh", "a POSIX shell")
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n[ -f %[1]q ] && echo Chassis Power is on && exit\n: >%[1]q\ncat <<END\n%[2]s\nEND\nexit 1\n", filepath.Join(dir, "asked"), text)
	if err := os.WriteFile(filepath.Join(dir, "ipmitool"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestPrivileges(t *testing.T) {
	const failed = "Set Session Privilege Level to ADMINISTRATOR failed: Insufficient privilege level\nError: Unable to establish IPMI v2 / RMCP+ session"
	for _, tc := range []struct {
		name, says, hint string
		is               error
	}{
		{"no administrator", failed, "try as operator", power.ErrAuth},
		// OpenBMC's issue 1812, while the host was switched.
		{"no session", "> Error: no response from RAKP 1 message\n" + failed, "", nil},
		{"other role", "RAKP 2 message indicates an error : unauthorized role requested", "try as operator", power.ErrAuth},
		{"may not switch", "Set Chassis Power Control to Down/Off failed: Insufficient privilege level", "may not switch", power.ErrRefused},
		{"busy", "Get Chassis Power Status failed: Node busy", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			says(t, tc.says)
			c, err := ipmi.New("bmc7", ipmi.WithSwitching(power.Switching{Tries: 2, Pause: time.Millisecond}))
			if err != nil {
				t.Fatal(err)
			}
			on, err := c.State(t.Context())
			if !errors.Is(err, tc.is) || on != (tc.is == nil) || err != nil && !strings.Contains(err.Error(), tc.hint) {
				t.Errorf("got %v, %v, want %v that says %q", on, err, tc.is, tc.hint)
			}
		})
	}
}

// TestStays: a chassis that takes the command and does nothing is noticed.
func TestStays(t *testing.T) {
	b := newBMC(t, "1")
	b.write("stuck", "", 0o600)
	if err := b.controller(ipmi.WithSwitching(power.Switching{Unverified: true})).Off(t.Context()); err != nil {
		t.Errorf("not verified: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	before := len(b.lines("asked"))
	go func() { ended <- b.controller().Off(ctx) }()
	// Before the command, after it, and again.
	for deadline := time.Now().Add(time.Minute); len(b.lines("asked")) < before+3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not ask for the state")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || !errors.Is(err, power.ErrState) {
		t.Errorf("got %v, want %v", err, power.ErrState)
	}
}

func TestUnreachable(t *testing.T) {
	b := newBMC(t, "1")
	b.address = "127.0.0.1:1" // nobody is there
	c := b.controller(ipmi.WithSwitching(power.Switching{Timeout: 500 * time.Millisecond, Tries: 2, Pause: time.Millisecond}))
	err := c.Off(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "try 2 of 2") {
		t.Errorf("got %v", err)
	}
}

// TestPasswordStaysOutOfTheCommandLine has the real ipmitool behind a script that
// notes how it is called.
func TestPasswordStaysOutOfTheCommandLine(t *testing.T) {
	b := newBMC(t, "0")
	real, err := exec.LookPath("ipmitool")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%q\nexec %q \"$@\"\n", filepath.Join(b.dir, "argv"), real)
	if err := os.WriteFile(filepath.Join(bin, "ipmitool"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("IPMITOOL_PASSWORD", "somebody-elses")
	t.Setenv("IPMI_PASSWORD", "somebody-elses")
	if err := b.controller().On(t.Context()); err != nil {
		t.Fatal(err)
	}
	argv := b.lines("argv")
	if len(argv) < 3 || slices.ContainsFunc(argv, func(s string) bool { return strings.Contains(s, password) }) {
		t.Errorf("ipmitool was called with %q", argv)
	}
}

func TestWithoutIpmitool(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	c, err := ipmi.New("bmc7")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.State(t.Context()); !errors.Is(err, power.ErrUnsupported) || !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "install ipmitool") {
		t.Errorf("got %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, opt := range map[string]ipmi.Option{
		"graceful":      ipmi.WithGracefulShutdown(0),
		"user":          ipmi.WithLogin("", "x"),
		"long user":     ipmi.WithLogin(strings.Repeat("u", 17), "x"),
		"long password": ipmi.WithLogin("u", strings.Repeat("x", 21)),
		"zero byte":     ipmi.WithLogin("u", "x\x00y"),
		"no cipher":     ipmi.WithCipherSuite(0),
		"cipher":        ipmi.WithCipherSuite(18),
		"tries":         ipmi.WithSwitching(power.Switching{Tries: -1}),
	} {
		if _, err := ipmi.New("bmc7", opt); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	for _, address := range []string{"", "-f", "ipmi://admin:s3cret@bmc7", "bmc7:", "bmc7:70000", "bmc7:x", "[::1", "[::1]", "bmc 7"} {
		if _, err := ipmi.New(address); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %v", address, err)
		}
	}
	for _, address := range []string{"bmc7", "bmc7:6230", "10.0.0.9", "fe80::1", "[fe80::1]:623"} {
		if _, err := ipmi.New(address); err != nil {
			t.Error(err)
		}
	}
	c, err := ipmi.New("bmc7")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Cycle(t.Context(), -1); !errors.Is(err, power.ErrWait) {
		t.Errorf("got %v, want %v", err, power.ErrWait)
	}
}

func ExampleNew() {
	c, err := ipmi.New("bmc7.lab", ipmi.WithLogin("operator", "secret"), ipmi.WithOperator(), ipmi.WithGracefulShutdown(20*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	var _ power.Controller = c
	_, err = ipmi.New("bmc7.lab", ipmi.WithCipherSuite(0))
	fmt.Println(err)
	// Output: power ipmi: cipher suite 0 is not from 1 to 17
}
