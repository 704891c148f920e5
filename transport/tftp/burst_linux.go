package tftp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"
)

// maxSegments is how many datagrams Linux takes with one call (UDP_MAX_SEGMENTS is
// 64 in the kernels that have the option at all, 4.18 and newer).
const maxSegments = 64

// udpSegment is UDP_SEGMENT of linux/udp.h; package syscall is frozen without it.
const udpSegment = 103

// writeSegments sends p as datagrams of size bytes, the last may be shorter, with
// one call (UDP_SEGMENT). It reports false where that is not to be had: another
// kind of connection, a kernel or a network card without it, a size over the MTU.
func writeSegments(conn net.PacketConn, to netip.AddrPort, p []byte, size int) bool {
	u, ok := conn.(*net.UDPConn)
	if !ok || len(p) > maxBurstBytes || (len(p)+size-1)/size > maxSegments {
		return false
	}
	n, _, err := u.WriteMsgUDPAddrPort(p, segmentSize(size), to)
	return err == nil && n == len(p)
}

// segmentSize is the control message for one call.
func segmentSize(size int) []byte {
	b := make([]byte, syscall.CmsgSpace(2))
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = syscall.IPPROTO_UDP, udpSegment
	h.SetLen(syscall.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[syscall.CmsgLen(0):], uint16(size))
	return b
}
