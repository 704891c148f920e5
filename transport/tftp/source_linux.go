package tftp

import (
	"net"
	"net/netip"
	"syscall"
	"unsafe"
)

// A socket that is bound to none of the host's addresses answers from the one that
// the route to the client has, which on a host with several need not be the one that
// was asked; firewalls that keep track of connections drop such answers. Linux tells
// the address that was asked, and takes it back (IP_PKTINFO, ip(7); for a socket of
// both families IPV6_PKTINFO with addresses of IPv4 mapped).

// askForDestination has the kernel tell with each packet to which address it came. It
// returns what makes an address the control message that sends from there, nil where
// that cannot be had.
func askForDestination(conn *net.UDPConn) (source func(netip.Addr) []byte) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	err = raw.Control(func(fd uintptr) {
		sa, err := syscall.Getsockname(int(fd))
		if err != nil {
			return
		}
		if _, v4 := sa.(*syscall.SockaddrInet4); v4 {
			if syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1) == nil {
				source = sourceInet4
			}
		} else if syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1) == nil {
			source = sourceInet6
		}
	})
	if err != nil {
		return nil
	}
	return source
}

// destination takes the address out of the control messages of a packet. The zero
// value is for one that cannot be answered from: a multicast or broadcast address
// is told, too, but nobody has that.
func destination(oob []byte) (a netip.Addr) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return a
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == syscall.IPPROTO_IP && m.Header.Type == syscall.IP_PKTINFO && len(m.Data) >= syscall.SizeofInet4Pktinfo:
			a = netip.AddrFrom4([4]byte(m.Data[4:8])) // ipi_spec_dst, which is this host's in any case
		case m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_PKTINFO && len(m.Data) >= syscall.SizeofInet6Pktinfo:
			a = netip.AddrFrom16([16]byte(m.Data[:16])).Unmap()
		}
	}
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}
	}
	return a
}

func sourceInet4(a netip.Addr) []byte {
	b, data := controlMessage(syscall.IPPROTO_IP, syscall.IP_PKTINFO, syscall.SizeofInet4Pktinfo)
	ip := a.As4()
	copy(data[4:], ip[:])
	return b
}

func sourceInet6(a netip.Addr) []byte {
	b, data := controlMessage(syscall.IPPROTO_IPV6, syscall.IPV6_PKTINFO, syscall.SizeofInet6Pktinfo)
	ip := a.As16()
	copy(data, ip[:])
	return b
}

// controlMessage makes one, with room for size bytes of data.
func controlMessage(level, kind int32, size int) (b, data []byte) {
	b = make([]byte, syscall.CmsgSpace(size))
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(syscall.CmsgLen(size))
	return b, b[syscall.CmsgLen(0):]
}
