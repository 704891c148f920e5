package virtboard_test

import (
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/virtboard"
)

func TestUBootOverDHCP(t *testing.T) {
	arches(t, func(t *testing.T, arch virtboard.Arch) {
		b := newBoard(t, virtboard.Config{Arch: arch})
		term := openTerminal(t, b)
		powerOn(t, b)
		term.uboot()
		if out := term.run("version"); !strings.Contains(out, "U-Boot 20") {
			t.Errorf("version: %q", out)
		}
		out := term.run("setenv autoload no; dhcp")
		if !strings.Contains(out, "DHCP client bound to address 192.168.127.10") {
			t.Errorf("dhcp: %q", out)
		}
		if out := term.run("printenv gatewayip netmask"); !strings.Contains(out, "gatewayip=192.168.127.1") || !strings.Contains(out, "netmask=255.255.255.0") {
			t.Errorf("printenv: %q", out)
		}
		if out := term.run("ping 192.168.127.1"); !strings.Contains(out, "is alive") {
			t.Errorf("ping: %q", out)
		}
	})
}
