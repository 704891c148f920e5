package bootloader

import (
	"net"
	"net/netip"
	"time"
)

// dhcp asks for an address, and then for a boot file unless $autoload forbids it.
func (m *machine) dhcp(w []string) int {
	if m.noNetwork() {
		return 1
	}
	if m.cfg.Lease == nil {
		for try, wait := 1, 100*time.Millisecond; try <= 3; try, wait = try+1, 2*wait {
			m.printf("BOOTP broadcast %d\n", try)
			if m.pause(wait) {
				return m.abort()
			}
		}
		m.print("\nRetry time exceeded; starting again\n")
		return 1
	}
	m.print("BOOTP broadcast 1\n")
	l := m.cfg.Lease
	m.env["ipaddr"] = l.Address.Addr().String()
	m.env["netmask"] = net.IP(net.CIDRMask(l.Address.Bits(), 32)).String()
	if l.Gateway.IsValid() {
		m.env["gatewayip"] = l.Gateway.String()
	}
	if l.Server.IsValid() {
		m.env["serverip"] = l.Server.String()
	}
	m.printf("DHCP client bound to address %s (2 ms)\n", l.Address.Addr())
	if a := m.env["autoload"]; a == "no" || a == "n" || a == "0" {
		return 0
	}
	m.print("*** Warning: no boot file name; using 'boot.img'\n")
	return m.tftpboot([]string{"tftpboot", m.env["loadaddr"], "boot.img"})
}

func (m *machine) noNetwork() bool {
	if m.cfg.NoEthernet {
		m.print("No ethernet found.\n")
	}
	return m.cfg.NoEthernet
}

func (m *machine) abort() int {
	m.print("\nAbort\n")
	return 1
}

// server is where files come from.
func (m *machine) server() (netip.AddrPort, bool) {
	if m.env["ipaddr"] == "" {
		m.print("*** ERROR: `ipaddr' not set\n")
		return netip.AddrPort{}, false
	}
	a, err := netip.ParseAddr(m.env["serverip"])
	if err != nil {
		m.print("*** ERROR: `serverip' not set\n")
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, 69), true
}
