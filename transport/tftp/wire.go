package tftp

import (
	"net"
	"net/netip"
)

// wire is the connection as the server uses it: with no address made for each packet,
// where that can be had, and with answers that come from the address that was asked.
type wire struct {
	net.PacketConn
	udp    *net.UDPConn            // the same; nil is another kind of connection
	source func(netip.Addr) []byte // for an answer from the address that was asked; nil: there is but one, or it is not told
	oob    [64]byte                // the read loop's
}

func newWire(conn net.PacketConn) *wire {
	w := &wire{PacketConn: conn}
	w.udp, _ = conn.(*net.UDPConn)
	if w.udp != nil && bound(w.udp.LocalAddr()).IsUnspecified() {
		w.source = askForDestination(w.udp)
	}
	return w
}

// bound is the address of a UDP socket, the zero value where that is something else.
func bound(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// end is the client's end of an exchange, and ours.
type end struct {
	key    netip.AddrPort
	addr   net.Addr // the client's, made when it is needed
	asked  netip.Addr
	source []byte // the control message for answers from asked; nil is none
}

// read reads one packet. ok is false for a packet of a client whose address cannot be
// understood.
func (w *wire) read(p []byte) (n int, from end, ok bool, err error) {
	if w.udp == nil {
		n, from.addr, err = w.ReadFrom(p)
		if err == nil {
			from.key, ok = addrPort(from.addr)
		}
		return n, from, ok, err
	}
	if w.source != nil {
		var told int
		n, told, _, from.key, err = w.udp.ReadMsgUDPAddrPort(p, w.oob[:])
		if err == nil {
			from.asked = destination(w.oob[:told])
		}
	} else {
		n, from.key, err = w.udp.ReadFromUDPAddrPort(p)
	}
	from.key = netip.AddrPortFrom(from.key.Addr().Unmap(), from.key.Port())
	return n, from, err == nil && from.key.IsValid(), err
}

// know completes an end of which more will be needed than one acknowledgement.
func (w *wire) know(e *end) {
	if e.addr == nil {
		e.addr = net.UDPAddrFromAddrPort(e.key)
	}
	if e.asked.IsValid() && e.asked.Is4() == e.key.Addr().Is4() {
		e.source = w.source(e.asked)
	}
}

// write sends a packet to the client.
func (w *wire) write(p []byte, to *end) error {
	if w.udp == nil {
		_, err := w.WriteTo(p, to.addr)
		return err
	}
	if to.source != nil {
		if _, _, err := w.udp.WriteMsgUDPAddrPort(p, to.source, to.key); err == nil {
			return nil
		}
	}
	_, err := w.udp.WriteToUDPAddrPort(p, to.key)
	return err
}
