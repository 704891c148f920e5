package tftp

import (
	"encoding/binary"
	"syscall"
)

// maxSegments is how many datagrams Linux takes with one call (UDP_MAX_SEGMENTS is
// 64 in the kernels that have the option at all, 4.18 and newer).
const maxSegments = 64

// udpSegment is UDP_SEGMENT of linux/udp.h; package syscall is frozen without it.
const udpSegment = 103

// writeSegments sends p as datagrams of size bytes, the last may be shorter, with
// one call (UDP_SEGMENT). It reports false where that is not to be had: another
// kind of connection, a kernel or a network card without it, a size over the MTU.
func (w *wire) writeSegments(p []byte, size int, to *end) bool {
	if w.udp == nil || len(p) > maxBurstBytes || (len(p)+size-1)/size > maxSegments {
		return false
	}
	segment, data := controlMessage(syscall.IPPROTO_UDP, udpSegment, 2)
	binary.NativeEndian.PutUint16(data, uint16(size))
	n, _, err := w.udp.WriteMsgUDPAddrPort(p, append(segment, to.source...), to.key)
	return err == nil && n == len(p)
}
