package snmp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/snmp"
)

// pduScript is a PDU for snmpd's pass_persist (snmpd.conf(5)): every object below the
// enterprises is a file named after it; what is written to a control object is
// translated into the state that the MIB has for it.
const pduScript = `#!/bin/sh
dir=$1
while read -r command; do
	case $command in
	PING) echo PONG ;;
	get)
		read -r oid
		if [ -f "$dir/$oid" ]; then echo "$oid"; echo integer; cat "$dir/$oid"; else echo NONE; fi ;;
	getnext) read -r oid; echo NONE ;;
	set)
		read -r oid
		read -r type value
		if [ ! -f "$dir/$oid" ]; then echo not-writable; continue; fi
		echo "$value" >"$dir/$oid"
		if [ -f "$dir/$oid-$value" ]; then
			read -r state new <"$dir/$oid-$value"
			echo "$new" >"$dir/$state"
		fi
		echo DONE ;;
	esac
done
`

// agent runs Debian's snmpd with the outlets, which are off.
func agent(t *testing.T, outlets ...snmp.Outlet) (address string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	snmpd := testtool.Need(t, "snmpd", "apt-get install snmpd")
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, o := range outlets {
		write("."+o.On.OID, "0\n")
		write("."+o.Off.OID, "0\n")
		write("."+o.StateOID, fmt.Sprintln(o.StateOff))
		write(fmt.Sprintf(".%s-%d", o.On.OID, o.On.Value), fmt.Sprintf(".%s %d\n", o.StateOID, o.StateOn))
		write(fmt.Sprintf(".%s-%d", o.Off.OID, o.Off.Value), fmt.Sprintf(".%s %d\n", o.StateOID, o.StateOff))
	}
	script := write("pdu", pduScript)
	address = freeUDP(t)
	config := write("snmpd.conf", strings.Join([]string{
		"rwcommunity private", "rocommunity public",
		"createUser plain", "rwuser plain noauth",
		"createUser careful SHA-256 authphrase AES privphrase", "rwuser careful priv",
		"createUser signer MD5 authphrase", "rwuser signer auth",
		"pass_persist .1.3.6.1.4.1.318 /bin/sh " + script + " " + dir,
		"pass_persist .1.3.6.1.4.1.3808 /bin/sh " + script + " " + dir,
		"pass_persist .1.3.6.1.4.1.13742 /bin/sh " + script + " " + dir,
		"pass_persist .1.3.6.1.4.1.1718 /bin/sh " + script + " " + dir,
		"pass_persist .1.3.6.1.4.1.534 /bin/sh " + script + " " + dir,
	}, "\n")+"\n")
	cmd := exec.Command(snmpd, "-f", "-Lo", "-C", "-c", config, "-I", "-smux", "-p", filepath.Join(dir, "pid"), "udp:"+address)
	cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir, "MIBS=")
	cmd.Stderr, cmd.Stdout = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return address
}

func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func controller(t *testing.T, address string, o snmp.Outlet, opts ...snmp.Option) *snmp.Controller {
	t.Helper()
	c, err := snmp.New(address, o, append([]snmp.Option{snmp.WithSwitching(power.Switching{Timeout: 20 * time.Second})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func switches(t *testing.T, c *snmp.Controller) {
	t.Helper()
	for _, want := range []bool{true, false} {
		do := c.Off
		if want {
			do = c.On
		}
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if on, err := c.State(t.Context()); err != nil || on != want {
			t.Errorf("state %v, %v; want %v", on, err, want)
		}
	}
}

// TestSnmpd switches outlets of all the makes and with all the versions at
// Debian's snmpd.
func TestSnmpd(t *testing.T) {
	outlets := []snmp.Outlet{
		snmp.APC(4), snmp.APCRackPDU2(4), snmp.APCMasterSwitch(1), snmp.CyberPower(2), snmp.Raritan(3), snmp.ServerTech(5), snmp.Eaton(6),
	}
	address := agent(t, outlets...)
	for _, o := range outlets {
		t.Run(o.Name+" "+o.On.OID, func(t *testing.T) { switches(t, controller(t, address, o)) })
	}
	careful := snmp.User{Name: "careful", Auth: "SHA256", AuthPassphrase: "authphrase", Privacy: "AES", PrivacyPassphrase: "privphrase"}
	for name, opt := range map[string]snmp.Option{
		"v1":         snmp.WithV1("private"),
		"v2c":        snmp.WithV2c("private"),
		"v3 noauth":  snmp.WithV3(snmp.User{Name: "plain"}),
		"v3 auth":    snmp.WithV3(snmp.User{Name: "signer", Auth: "MD5", AuthPassphrase: "authphrase"}),
		"v3 privacy": snmp.WithV3(careful),
	} {
		t.Run(name, func(t *testing.T) { switches(t, controller(t, address, snmp.APC(4), opt)) })
	}

	once := snmp.WithSwitching(power.Switching{Tries: 1, Timeout: 10 * time.Second})
	stuck := snmp.APC(4)
	stuck.On.Value = 9 // the PDU takes it and does nothing
	wrong := careful
	wrong.AuthPassphrase = "s3cretphrase"
	stranger := careful
	stranger.Name = "stranger"
	for _, tc := range []struct {
		name   string
		outlet snmp.Outlet
		opts   []snmp.Option
		is     error
		text   string
	}{
		{"no such outlet", snmp.APC(44), nil, power.ErrRefused, "outlet 44"},
		{"may only read", snmp.APC(4), []snmp.Option{snmp.WithV2c("public")}, power.ErrAuth, "may this community or user write?"},
		{"may only read in v1", snmp.APC(4), []snmp.Option{snmp.WithV1("public")}, power.ErrNotFound, "outlet 4"},
		{"wrong passphrase", snmp.APC(4), []snmp.Option{snmp.WithV3(wrong)}, power.ErrAuth, "outlet 4"},
		{"wrong user", snmp.APC(4), []snmp.Option{snmp.WithV3(stranger)}, power.ErrAuth, "outlet 4"},
		{"does nothing", stuck, []snmp.Option{snmp.WithSwitching(power.Switching{Tries: 1, Timeout: time.Second})}, power.ErrState, "it answered off"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := controller(t, address, tc.outlet, append([]snmp.Option{once}, tc.opts...)...).On(t.Context())
			var typed *power.Error
			if !errors.Is(err, tc.is) || !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v, want %v with %q", err, tc.is, tc.text)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := controller(t, silent.LocalAddr().String(), snmp.APC(1), snmp.WithSwitching(power.Switching{Timeout: 100 * time.Millisecond, Tries: 2, Pause: time.Millisecond}))
	if err := c.On(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "APC outlet 1 at 127.0.0.1") {
		t.Errorf("silence: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.On(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	blind := snmp.APC(1)
	blind.StateOID = ""
	if _, err := controller(t, "127.0.0.1:1", blind).State(t.Context()); !errors.Is(err, power.ErrUnsupported) {
		t.Errorf("state of an outlet that has none: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	same := snmp.APC(1)
	same.Off = same.On
	bad := snmp.APC(1)
	bad.StateOID = "1.3.x"
	for name, f := range map[string]func() (*snmp.Controller, error){
		"no host":      func() (*snmp.Controller, error) { return snmp.New("", snmp.APC(1)) },
		"port 0":       func() (*snmp.Controller, error) { return snmp.New("pdu:0", snmp.APC(1)) },
		"no outlet":    func() (*snmp.Controller, error) { return snmp.New("pdu", snmp.Outlet{}) },
		"on is off":    func() (*snmp.Controller, error) { return snmp.New("pdu", same) },
		"bad OID":      func() (*snmp.Controller, error) { return snmp.New("pdu", bad) },
		"no community": func() (*snmp.Controller, error) { return snmp.New("pdu", snmp.APC(1), snmp.WithV1("")) },
		"two versions": func() (*snmp.Controller, error) {
			return snmp.New("pdu", snmp.APC(1), snmp.WithV1("a"), snmp.WithV2c("a"))
		},
		"no user": func() (*snmp.Controller, error) { return snmp.New("pdu", snmp.APC(1), snmp.WithV3(snmp.User{})) },
		"short": func() (*snmp.Controller, error) {
			return snmp.New("pdu", snmp.APC(1), snmp.WithV3(snmp.User{Name: "u", Auth: "SHA", AuthPassphrase: "short"}))
		},
		"privacy alone": func() (*snmp.Controller, error) {
			return snmp.New("pdu", snmp.APC(1), snmp.WithV3(snmp.User{Name: "u", Privacy: "AES", PrivacyPassphrase: "longenough"}))
		},
		"unknown": func() (*snmp.Controller, error) {
			return snmp.New("pdu", snmp.APC(1), snmp.WithV3(snmp.User{Name: "u", Auth: "ROT13", AuthPassphrase: "longenough"}))
		},
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
}

func ExampleNew() {
	board, err := snmp.New("pdu7.lab", snmp.APC(4), snmp.WithV3(snmp.User{
		Name: "lab", Auth: "SHA256", AuthPassphrase: "from the environment", Privacy: "AES", PrivacyPassphrase: "from the environment",
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	var _ power.StateReader = board
	// board.On(ctx) writes to the PDU and asks whether it did.
}
