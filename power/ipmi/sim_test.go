package ipmi_test

import (
	"bytes"
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
	"github.com/dutflash/dutflash/power/ipmi"
)

const (
	user, password = "lab", "s3cret-pass"
	// ipmi_sim has no suite but 0 to 3, and does not tell them.
	suite = 3
)

// chassis is the chassis control program of ipmi_sim: each line of the file
// "calls" is one change it was told to make.
const chassis = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
command=$1
shift
while [ $# -gt 0 ]; do
	case $command.$1 in
	get.power) echo asked >>asked; echo "power:$(cat power)" ;;
	set.power) echo "power $2" >>calls; [ -f stuck ] || echo "$2" >power; shift ;;
	set.shutdown) echo shutdown >>calls; [ -f stubborn ] || echo 0 >power; shift ;;
	*) echo "$command $*" >>unknown; exit 1 ;;
	esac
	shift
done
`

// bmc is Debian's ipmi_sim.
type bmc struct {
	t            *testing.T
	dir, address string
}

// newBMC runs ipmi_sim on the loopback interface with the power as given until the
// test ends.
func newBMC(t *testing.T, power string) *bmc {
	t.Helper()
	program := testtool.Need(t, "ipmi_sim", "apt-get install openipmi")
	testtool.Need(t, "ipmitool", "apt-get install ipmitool")
	testtool.Need(t, "sh", "a POSIX shell")
	b := &bmc{t: t, dir: t.TempDir()}
	// It cannot choose a free port itself, so that somebody may be faster.
	for range 5 {
		if b.start(program, power) {
			return b
		}
	}
	t.Fatal("ipmi_sim found its port taken five times")
	return nil
}

func (b *bmc) start(program, power string) bool {
	b.t.Helper()
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.address = free.LocalAddr().String()
	free.Close()
	host, port, _ := strings.Cut(b.address, ":")
	b.write("chassis", chassis, 0o700)
	b.write("power", power, 0o600)
	config := b.write("lan.conf", fmt.Sprintf(`name "dut"
set_working_mc 0x20
  startlan 1
    addr %s %s
    priv_limit admin
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control %q
  user 2 true %q %q admin 10 none md2 md5 straight
  user 3 true "op" "operates" operator 10 none md2 md5 straight
`, host, port, filepath.Join(b.dir, "chassis"), user, password), 0o600)
	commands := b.write("bmc.emu", "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n", 0o600)
	var out bytes.Buffer
	cmd := exec.Command(program, "-c", config, "-f", commands, "-s", b.t.TempDir(), "-n")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	b.t.Cleanup(func() { cmd.Process.Kill(); <-exited })
	for deadline := time.Now().Add(30 * time.Second); !b.answers(); {
		select {
		case <-exited:
			if strings.Contains(out.String(), "in use") {
				return false
			}
			b.t.Fatalf("ipmi_sim ended: %s", &out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			b.t.Fatal("ipmi_sim does not answer")
		}
	}
	return true
}

// answers sends a presence ping (ASF 2.0, 3.2.4.2).
func (b *bmc) answers() bool {
	c, err := net.Dial("udp4", b.address)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0}); err != nil {
		return false
	}
	_, err = c.Read(make([]byte, 64))
	return err == nil
}

func (b *bmc) write(name, text string, mode os.FileMode) (path string) {
	b.t.Helper()
	path = filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// lines are those of a file of the chassis.
func (b *bmc) lines(name string) []string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// power is what ipmitool says when a person asks it.
func (b *bmc) power() string {
	b.t.Helper()
	host, port, _ := strings.Cut(b.address, ":")
	cmd := exec.Command("ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", user, "-E", "-C", fmt.Sprint(suite), "chassis", "power", "status")
	cmd.Env = append(os.Environ(), "IPMI_PASSWORD="+password)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("ipmitool: %v: %s", err, out)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(out), "Chassis Power is "))
}

func (b *bmc) controller(opts ...ipmi.Option) *ipmi.Controller {
	b.t.Helper()
	c, err := ipmi.New(b.address, append([]ipmi.Option{
		ipmi.WithLogin(user, password), ipmi.WithCipherSuite(suite),
		ipmi.WithSwitching(power.Switching{Timeout: time.Minute, Tries: 1}),
	}, opts...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}
