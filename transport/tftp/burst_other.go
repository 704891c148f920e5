//go:build !linux

package tftp

import (
	"net"
	"net/netip"
)

// writeSegments reports that several datagrams cannot be sent with one call.
func writeSegments(net.PacketConn, netip.AddrPort, []byte, int) bool { return false }
