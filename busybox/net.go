package busybox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Address is an IPv4 address of the board.
type Address struct {
	Interface string       // network interface, "" to let the board choose
	IP        netip.Prefix // address and netmask
	Gateway   netip.Addr   // the zero Addr on an isolated network
}

// defaultIface lists network interfaces that belong to hardware.
const defaultIface = `for d in /sys/class/net/*; do [ -e "$d/device" ] && echo "${d##*/}"; done; :`

var reIface = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,31}$`)

// interfaces returns the interface to use, or all of the board's.
func (s *Shell) interfaces(ctx context.Context, op, iface string) ([]string, error) {
	if iface != "" {
		if !reIface.MatchString(iface) {
			return nil, &Error{Op: op, Err: ErrConfig, Detail: fmt.Sprintf("%q is not the name of a network interface", iface)}
		}
		return []string{iface}, nil
	}
	out, err := s.exact(ctx, op, defaultIface)
	if err != nil {
		return nil, err
	}
	names := strings.Fields(out)
	if len(names) == 0 {
		return nil, s.fail(op, "", ErrNoDevice, "the board has no network interface; its kernel may lack the driver or the DTB the node")
	}
	return names, nil
}

// udhcpcScript does what busybox's sample script does, for boards without one.
const udhcpcScript = `case $1 in
deconfig) ip addr flush dev $interface 2>/dev/null || ifconfig $interface 0.0.0.0;;
bound|renew)
	ifconfig $interface $ip netmask ${subnet:-255.255.255.0} 2>/dev/null || ip addr add $ip/${mask:-24} dev $interface
	[ -n "$router" ] && { set -- $router; route add default gw $1 dev $interface 2>/dev/null || ip route add default via $1 dev $interface; }
	[ -n "$dns" ] && { : >/etc/resolv.conf; for d in $dns; do echo nameserver $d >>/etc/resolv.conf; done; } 2>/dev/null;;
esac
exit 0
`

// Udhcpc gets an address by DHCP for iface, or for the first interface with
// hardware behind it that gets an answer where iface is "". Where the board
// has no udhcpc script to apply a lease with, a small one is brought along in
// /tmp. The returned address is read back from the interface. A failure is a
// [*CommandError] with udhcpc's output.
func (s *Shell) Udhcpc(ctx context.Context, iface string) (Address, error) {
	const op = "udhcpc"
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	names, err := s.interfaces(ctx, op, iface)
	if err != nil {
		return Address{}, err
	}
	script := ""
	has, err := s.exact(ctx, op, `for f in /usr/share/udhcpc/default.script /etc/udhcpc/default.script; do [ -x $f ] && { echo yes; break; }; done; :`)
	if err != nil {
		return Address{}, err
	}
	if has == "" {
		script = "/tmp/dutflash-udhcpc"
		if _, err := s.run(ctx, op, "mkdir -p /tmp"); err != nil {
			return Address{}, err
		}
		if err := s.Upload(ctx, script, []byte("#!/bin/sh\n"+udhcpcScript)); err != nil {
			return Address{}, err
		}
		if _, err := s.run(ctx, op, "chmod 755 "+script); err != nil {
			return Address{}, err
		}
		script = " -s " + script
	}
	var errs []error
	for _, n := range names {
		_, err := s.run(ctx, op, "{ ip link set "+n+" up || ifconfig "+n+" up; } 2>/dev/null; udhcpc -i "+n+" -n -q -t 5 -T 3"+script)
		if err == nil {
			var a Address
			if a, err = s.address(ctx, op, n); err == nil {
				return a, nil
			}
		}
		if ce := (*CommandError)(nil); errors.As(err, &ce) {
			err = &Error{Op: op, Command: "udhcpc -i " + n, Err: err,
				Detail: "is there a DHCP server on that network, and the cable in? A static address does without"}
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return Address{}, errors.Join(errs...)
}

var (
	reInet    = regexp.MustCompile(`inet (?:addr:)?(\d+\.\d+\.\d+\.\d+)(?:/(\d+))?(?:.*?(?:Mask:|netmask )(\d+\.\d+\.\d+\.\d+))?`)
	reDefault = regexp.MustCompile(`(?m)^(?:default via |0\.0\.0\.0\s+)(\d+\.\d+\.\d+\.\d+)`)
)

// address reads an interface's IPv4 address.
func (s *Shell) address(ctx context.Context, op, iface string) (Address, error) {
	out, err := s.exact(ctx, op, "ip -4 addr show dev "+iface+" 2>/dev/null || ifconfig "+iface+"; echo; ip route 2>/dev/null || route -n")
	if err != nil {
		return Address{}, err
	}
	m := reInet.FindStringSubmatch(out)
	if m == nil {
		return Address{}, &Error{Op: op, Err: ErrNoDevice, Tail: out,
			Detail: "interface " + iface + " has no IPv4 address; the board's udhcpc script may not apply leases"}
	}
	a := Address{Interface: iface}
	ip, err := netip.ParseAddr(m[1])
	if err != nil {
		return Address{}, &Error{Op: op, Err: err, Tail: out}
	}
	bits := 32
	if m[2] != "" {
		bits, _ = strconv.Atoi(m[2])
	} else if mask, err := netip.ParseAddr(m[3]); err == nil {
		bits = 0
		for _, b := range mask.As4() {
			for ; b&0x80 != 0; b <<= 1 {
				bits++
			}
		}
	}
	a.IP = netip.PrefixFrom(ip, bits)
	if m := reDefault.FindStringSubmatch(out); m != nil {
		a.Gateway, _ = netip.ParseAddr(m[1])
	}
	return a, nil
}

// SetAddress gives an interface the address of a, and a default route where a
// has a gateway; a.Interface "" is the first interface with hardware behind it.
func (s *Shell) SetAddress(ctx context.Context, a Address) error {
	const op = "set address"
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	if !a.IP.IsValid() || !a.IP.Addr().Is4() {
		return &Error{Op: op, Err: ErrConfig, Detail: fmt.Sprintf("%v is not an IPv4 address with a prefix length", a.IP)}
	}
	if a.Gateway.IsValid() && !a.Gateway.Is4() {
		return &Error{Op: op, Err: ErrConfig, Detail: fmt.Sprintf("gateway %v is not an IPv4 address", a.Gateway)}
	}
	names, err := s.interfaces(ctx, op, a.Interface)
	if err != nil {
		return err
	}
	n, bits := names[0], a.IP.Bits()
	mask := ^uint32(0) << (32 - bits)
	if bits == 0 {
		mask = 0
	}
	cmd := fmt.Sprintf("ifconfig %s %s netmask %d.%d.%d.%d up 2>/dev/null || { ip addr flush dev %s; ip addr add %s dev %s && ip link set %s up; }",
		n, a.IP.Addr(), byte(mask>>24), byte(mask>>16), byte(mask>>8), byte(mask), n, a.IP, n, n)
	if _, err := s.run(ctx, op, cmd); err != nil {
		return err
	}
	if a.Gateway.IsValid() {
		cmd := fmt.Sprintf("ip route replace default via %s dev %s 2>/dev/null || { route del default 2>/dev/null; route add default gw %s dev %s; }", a.Gateway, n, a.Gateway, n)
		if _, err := s.run(ctx, op, cmd); err != nil {
			return err
		}
	}
	got, err := s.address(ctx, op, n)
	if err != nil {
		return err
	}
	if got.IP != a.IP {
		return s.fail(op, cmd, ErrConfig, "interface %s has %v and not %v afterwards", n, got.IP, a.IP)
	}
	return nil
}

// SetClock sets the board's clock, so that TLS certificates are valid there,
// and reads it back. Seconds are the resolution.
func (s *Shell) SetClock(ctx context.Context, t time.Time) error {
	const op = "set clock"
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	sec := t.Unix()
	cmd := fmt.Sprintf("date -u -s @%d >/dev/null 2>&1 || date -u -s '%s' >/dev/null", sec, t.UTC().Format("2006-01-02 15:04:05"))
	if _, err := s.run(ctx, op, cmd); err != nil {
		return err
	}
	out, err := s.exact(ctx, op, "date +%s")
	if err != nil {
		return err
	}
	now, err := strconv.ParseInt(out, 10, 64)
	if err != nil || now < sec || now > sec+600 {
		return s.fail(op, cmd, ErrConfig, "the clock was set to %d and is %q afterwards", sec, out)
	}
	return nil
}

// fetchMeaning explains what curl's exit status means (curl(1), EXIT CODES).
func fetchMeaning(status int) string {
	switch status {
	case 5:
		return "the proxy's name cannot be resolved"
	case 6:
		return "the server's name cannot be resolved"
	case 7:
		return "the server cannot be reached: connection refused or no route"
	case 18:
		return "the server ended the transfer early"
	case 22:
		return "the server answered with an HTTP error"
	case 23:
		return "the board could not write the file"
	case 28:
		return "the server did not answer in time"
	case 35:
		return "the TLS handshake failed"
	case 52:
		return "the server sent nothing"
	case 56:
		return "the connection broke"
	case 60:
		return "the server's certificate is not trusted; is the board's clock right?"
	case 77:
		return "the CA file cannot be read"
	}
	return ""
}

// Fetch has the board fetch a URL (http, https, ftp; with curl, else wget)
// into the file path, which appears only when it is complete. Note that busybox's
// wget does not verify certificates. The error wraps [ErrFetch] and the
// [*CommandError] of the program, or [ErrNoTool].
func (s *Shell) Fetch(ctx context.Context, url, path string) error {
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	return s.fetch(ctx, "fetch", url, path)
}

func (s *Shell) fetch(ctx context.Context, op, from, path string) error {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ftp") || strings.ContainsAny(from, " \t\n") {
		return &Error{Op: op, Err: ErrConfig, Detail: fmt.Sprintf("%q is not an http, https or ftp URL", short(s.hide(from), 200))}
	}
	if path == "" || strings.HasSuffix(path, "/") {
		return &Error{Op: op, Err: ErrConfig, Detail: fmt.Sprintf("%q is not a file name", path)}
	}
	path = operand(path)
	cmd := fmt.Sprintf(`(p=%s; u=%s
if command -v curl >/dev/null 2>&1; then curl -fsSL -o "$p.part" "$u"
elif command -v wget >/dev/null 2>&1; then wget -q -O "$p.part" "$u"
else echo "neither curl nor wget: not found"; exit 127; fi && mv "$p.part" "$p" || { e=$?; rm -f "$p.part"; exit $e; })`, quote(path), quote(from))
	_, err = s.run(ctx, op, cmd)
	var ce *CommandError
	if !errors.As(err, &ce) {
		return err
	}
	if ce.Status == 127 {
		return &Error{Op: op, Command: "curl or wget", Err: fmt.Errorf("%w: %w", ErrFetch, ErrNoTool), Detail: "the board has neither; build the initramfs with one of them"}
	}
	detail := fetchMeaning(ce.Status)
	if detail == "" {
		detail = "is the server's address reachable from the board?"
	}
	return &Error{Op: op, Command: short(s.hide(from), 200), Err: fmt.Errorf("%w: %w", ErrFetch, ce), Detail: detail}
}

// operand keeps a path from being taken for an option.
func operand(path string) string {
	if strings.HasPrefix(path, "-") {
		return "./" + path
	}
	return path
}

// Script has the board fetch a shell script and run it with args, and hands
// its output to out like Stream. The script's file on the board is removed
// afterwards, also when it fails.
func (s *Shell) Script(ctx context.Context, url string, out func([]byte), args ...string) error {
	const op = "script"
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	file := "/tmp/dutflash-" + word() + ".sh"
	if _, err := s.run(ctx, op, "mkdir -p /tmp"); err != nil {
		return err
	}
	if err := s.fetch(ctx, op, url, file); err != nil {
		return err
	}
	cmd := "sh " + file
	for _, a := range args {
		cmd += " " + quote(a)
	}
	err := s.streamTo(ctx, op, cmd, out)
	if errors.Is(err, ErrPanic) || errors.Is(err, ErrReset) || errors.Is(err, ErrShellLost) {
		return err
	}
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), blameTime)
	defer cancel()
	if _, rmErr := s.run(cctx, op, "rm -f "+file); rmErr != nil {
		err = errors.Join(err, rmErr)
	}
	return err
}
