package applet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

func (m *Machine) netTools() map[string]func(*call, []string) int {
	return map[string]func(*call, []string) int{
		"ip": m.ip, "ifconfig": m.ifconfig, "route": m.route, "udhcpc": m.udhcpc, "wget": m.wget, "curl": m.curl, "nc": m.nc,
	}
}

func mask(bits int) string {
	v := ^uint32(0) << (32 - bits)
	if bits == 0 {
		v = 0
	}
	return fmt.Sprintf("%d.%d.%d.%d", byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// bits is the inverse of mask.
func bits(mask string) (int, error) {
	a, err := netip.ParseAddr(mask)
	if err != nil || !a.Is4() {
		return 0, fmt.Errorf("bad address '%s'", mask)
	}
	n := 0
	for _, b := range a.As4() {
		for ; b&0x80 != 0; b <<= 1 {
			n++
		}
	}
	return n, nil
}

func (m *Machine) ip(c *call, args []string) int {
	if len(args) > 0 && args[0] == "-4" {
		args = args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return usage(c)
	}
	object, args := args[0], args[1:]
	verb := "show"
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	n := m.Network
	value := func(key string) string {
		for i := 0; i+1 < len(args); i++ {
			if args[i] == key {
				return args[i+1]
			}
		}
		return ""
	}
	known := func(dev string) bool {
		if dev == n.Interface || dev == "lo" {
			return true
		}
		c.fail("can't find device '%s'", dev)
		return false
	}
	up, address, gateway := n.State()
	switch {
	case strings.HasPrefix("address", object) && object[0] == 'a':
		switch {
		case verb == "show" || verb == "list" || verb == "s":
			dev := value("dev")
			if dev == "" && len(args) == 1 {
				dev = args[0]
			}
			if dev != "" && !known(dev) {
				return 1
			}
			if dev == "" || dev == "lo" {
				c.printf("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000\n    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n")
			}
			if n.Interface != "" && dev != "lo" {
				m.showLink(c, 2)
				if address.IsValid() {
					c.printf("    inet %s scope global %s\n       valid_lft forever preferred_lft forever\n", address, n.Interface)
				}
			}
			return 0
		case verb == "add" && len(args) > 0:
			text := args[0]
			if !strings.Contains(text, "/") {
				text += "/32"
			}
			a, err := netip.ParsePrefix(text)
			if err != nil {
				return c.fail("any valid prefix is expected rather than '%s'", args[0])
			}
			if !known(value("dev")) {
				return 1
			}
			if a == address {
				fmt.Fprintf(c.err, "ip: RTNETLINK answers: File exists\n")
				return 2
			}
			n.setAddress(a)
			return 0
		case verb == "flush" || verb == "del":
			dev := value("dev")
			if dev == "" && len(args) == 1 {
				dev = args[0]
			}
			if !known(dev) {
				return 1
			}
			n.setAddress(netip.Prefix{})
			return 0
		}
	case object == "link" || object == "l":
		switch verb {
		case "show", "list":
			m.showLink(c, 2)
			return 0
		case "set":
			if len(args) < 2 {
				return usage(c)
			}
			dev, what := args[0], args[len(args)-1]
			if dev == "dev" {
				dev = args[1]
			}
			if dev != "lo" && dev != n.Interface {
				return c.fail("can't find device '%s'", dev)
			}
			if dev == n.Interface {
				n.setUp(what == "up")
			}
			return 0
		}
	case strings.HasPrefix("route", object) && object[0] == 'r':
		switch verb {
		case "show", "list":
			if up && gateway.IsValid() {
				c.printf("default via %s dev %s \n", gateway, n.Interface)
			}
			if up && address.IsValid() {
				c.printf("%s dev %s scope link  src %s \n", address.Masked(), n.Interface, address.Addr())
			}
			return 0
		case "add", "replace":
			via, err := netip.ParseAddr(value("via"))
			if len(args) == 0 || args[0] != "default" || err != nil {
				return c.fail("only default routes are known to the simulated board")
			}
			if !up || !address.Contains(via) {
				fmt.Fprintf(c.err, "ip: RTNETLINK answers: Network is unreachable\n")
				return 2
			}
			if verb == "add" && gateway.IsValid() {
				fmt.Fprintf(c.err, "ip: RTNETLINK answers: File exists\n")
				return 2
			}
			n.setRoute(via)
			return 0
		case "del", "flush":
			n.setRoute(netip.Addr{})
			return 0
		}
	}
	return usage(c)
}

func (m *Machine) showLink(c *call, index int) {
	n := m.Network
	if up, _, _ := n.State(); up {
		c.printf("%d: %s: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast qlen 1000\n", index, n.Interface)
	} else {
		c.printf("%d: %s: <BROADCAST,MULTICAST> mtu 1500 qdisc noop qlen 1000\n", index, n.Interface)
	}
	c.printf("    link/ether %s brd ff:ff:ff:ff:ff:ff\n", n.MAC)
}

func (m *Machine) ifconfig(c *call, args []string) int {
	n := m.Network
	up, address, _ := n.State()
	if len(args) > 0 && args[0] == "-a" {
		args = args[1:]
	}
	if len(args) > 0 && args[0] != n.Interface && args[0] != "lo" {
		return c.fail("%s: error fetching interface information: Device not found", args[0])
	}
	if len(args) > 1 && args[0] == n.Interface {
		for i := 1; i < len(args); i++ {
			switch a := args[i]; {
			case a == "up" || a == "down":
				n.setUp(a == "up")
			case a == "netmask" && i+1 < len(args):
				i++
				b, err := bits(args[i])
				if err != nil {
					return c.fail("bad address '%s'", args[i])
				}
				_, address, _ = n.State()
				n.setAddress(netip.PrefixFrom(address.Addr(), b))
			default:
				ip, err := netip.ParseAddr(a)
				if err != nil {
					return c.fail("bad address '%s'", a)
				}
				if ip.IsUnspecified() {
					n.setAddress(netip.Prefix{})
				} else {
					n.setAddress(netip.PrefixFrom(ip, 24))
					n.setUp(true)
				}
			}
		}
		return 0
	}
	if n.Interface != "" && (len(args) == 1 && args[0] == n.Interface || len(args) == 0 && up) {
		c.printf("%-9s Link encap:Ethernet  HWaddr %s  \n", n.Interface, strings.ToUpper(n.MAC))
		if address.IsValid() {
			last := address.Masked().Addr().As4()
			wild := ^uint32(0) >> address.Bits()
			for i := range last {
				last[i] |= byte(wild >> (24 - 8*i))
			}
			c.printf("          inet addr:%s  Bcast:%s  Mask:%s\n", address.Addr(), netip.AddrFrom4(last), mask(address.Bits()))
		}
		state := "BROADCAST MULTICAST"
		if up {
			state = "UP BROADCAST RUNNING MULTICAST"
		}
		c.printf("          %s  MTU:1500  Metric:1\n\n", state)
	}
	if len(args) == 0 || args[0] == "lo" {
		c.printf("lo        Link encap:Local Loopback  \n          inet addr:127.0.0.1  Mask:255.0.0.0\n          UP LOOPBACK RUNNING  MTU:65536  Metric:1\n\n")
	}
	return 0
}

func (m *Machine) route(c *call, args []string) int {
	n := m.Network
	up, address, gateway := n.State()
	if len(args) == 0 || args[0] == "-n" {
		c.printf("Kernel IP routing table\nDestination     Gateway         Genmask         Flags Metric Ref    Use Iface\n")
		if up && gateway.IsValid() {
			c.printf("%-15s %-15s %-15s UG    0      0        0 %s\n", "0.0.0.0", gateway, "0.0.0.0", n.Interface)
		}
		if up && address.IsValid() {
			c.printf("%-15s %-15s %-15s U     0      0        0 %s\n", address.Masked().Addr(), "0.0.0.0", mask(address.Bits()), n.Interface)
		}
		return 0
	}
	if len(args) < 2 || args[1] != "default" {
		return c.fail("only default routes are known to the simulated board")
	}
	switch args[0] {
	case "add":
		for i := range args {
			if args[i] == "gw" && i+1 < len(args) {
				via, err := netip.ParseAddr(args[i+1])
				if err != nil {
					return c.fail("bad address '%s'", args[i+1])
				}
				if !up || !address.Contains(via) {
					return c.fail("SIOCADDRT: Network is unreachable")
				}
				n.setRoute(via)
				return 0
			}
		}
	case "del":
		if !gateway.IsValid() {
			return c.fail("SIOCDELRT: %v", kernel.ESRCH)
		}
		n.setRoute(netip.Addr{})
		return 0
	}
	return usage(c)
}

// udhcpc gets the lease that the network has, and has a script apply it.
func (m *Machine) udhcpc(c *call, args []string) int {
	o, _, ok := c.parse(args, "nqfbBaCo", "itTAsxOVF", nil)
	if !ok {
		return 1
	}
	n := m.Network
	iface, script := "eth0", "/etc/udhcpc/default.script"
	if o['i'] != "" {
		iface = o['i']
	}
	if o['s'] != "" {
		script = o['s']
	} else if _, err := c.K.FS.Stat(c.Process, script, true); err != nil {
		script = "/usr/share/udhcpc/default.script"
	}
	if iface != n.Interface || iface == "" {
		fmt.Fprintf(c.err, "udhcpc: SIOCGIFINDEX: %v\n", kernel.ENODEV)
		return 1
	}
	number := func(key byte, otherwise int) int {
		if v, err := strconv.Atoi(o[key]); err == nil {
			return v
		}
		return otherwise
	}
	say := func(format string, args ...any) { fmt.Fprintf(c.err, "udhcpc: "+format+"\n", args...) }
	call := func(event string) int {
		c.Env["interface"] = iface
		return c.run([]string{script, event})
	}
	say("started, v1.35.0")
	call("deconfig")
	up, _, _ := n.State()
	for try := 1; !n.Lease.IsValid() || !up; try++ {
		say("broadcasting discover")
		if err := c.Sleep(time.Duration(number('T', 3)) * time.Second); err != nil {
			return 1
		}
		if try%max(number('t', 3), 1) != 0 {
			continue
		}
		call("leasefail")
		switch {
		case o.has('n'):
			say("no lease, failing")
			return 1
		case o.has('b'):
			say("no lease, forking to background")
			return 0
		}
		if err := c.Sleep(time.Duration(number('A', 20)) * time.Second); err != nil {
			return 1
		}
		up, _, _ = n.State()
	}
	say("broadcasting discover")
	server := n.Gateway
	if !server.IsValid() {
		server = n.Lease.Masked().Addr().Next()
	}
	say("broadcasting select for %s, server %s", n.Lease.Addr(), server)
	say("lease of %s obtained from %s, lease time 3600", n.Lease.Addr(), server)
	c.Env["ip"], c.Env["mask"], c.Env["subnet"] = n.Lease.Addr().String(), strconv.Itoa(n.Lease.Bits()), mask(n.Lease.Bits())
	if n.Gateway.IsValid() {
		c.Env["router"] = n.Gateway.String()
	}
	var dns []string
	for _, d := range n.DNS {
		dns = append(dns, d.String())
	}
	if len(dns) > 0 {
		c.Env["dns"] = strings.Join(dns, " ")
	}
	c.Env["serverid"], c.Env["lease"] = server.String(), "3600"
	call("bound")
	return 0
}
