package virtboard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// DHCP message types and options, RFC 2132.
const (
	dhcpDiscover = 1
	dhcpOffer    = 2
	dhcpRequest  = 3
	dhcpACK      = 5
	dhcpNAK      = 6

	optSubnetMask  = 1
	optRouter      = 3
	optRequestedIP = 50
	optLeaseTime   = 51
	optMessageType = 53
	optServerID    = 54
	optEnd         = 255
)

// dhcpHeader is the fixed part of a message, RFC 2131 section 2, with the magic
// cookie.
const dhcpHeader = 240

var dhcpCookie = [4]byte{99, 130, 83, 99}

// lease is long enough that no test waits for its end.
const lease = time.Hour

// dhcpMessage is what this server wants to know of a client's message.
type dhcpMessage struct {
	kind      byte
	header    []byte // the fixed part
	current   netip.Addr
	requested netip.Addr // zero where the client asks for none
	server    netip.Addr // zero where the client names none
}

// parseDHCP reads a client's message.
func parseDHCP(b []byte) (dhcpMessage, error) {
	var m dhcpMessage
	if len(b) < dhcpHeader || [4]byte(b[236:240]) != dhcpCookie {
		return m, errors.New("no dhcp message")
	}
	if b[0] != 1 || b[1] != 1 || b[2] != 6 {
		return m, fmt.Errorf("no request of an ethernet client: op %d, hardware %d, length %d", b[0], b[1], b[2])
	}
	m.header = b[:dhcpHeader]
	m.current = netip.AddrFrom4([4]byte(b[12:16]))
	for b = b[dhcpHeader:]; len(b) > 0 && b[0] != optEnd; {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return m, errors.New("dhcp option is cut off")
		}
		code, value := b[0], b[2:2+int(b[1])]
		b = b[2+len(value):]
		switch {
		case code == optMessageType && len(value) == 1:
			m.kind = value[0]
		case code == optRequestedIP && len(value) == 4:
			m.requested = netip.AddrFrom4([4]byte(value))
		case code == optServerID && len(value) == 4:
			m.server = netip.AddrFrom4([4]byte(value))
		}
	}
	return m, nil
}

// dhcpServer gives the one board on the network the one address it has.
type dhcpServer struct {
	host   netip.Prefix
	board  netip.Addr
	router bool
}

// answer returns the reply to m, or nil where none is due.
func (s dhcpServer) answer(m dhcpMessage) []byte {
	switch m.kind {
	case dhcpDiscover:
		return s.reply(m, dhcpOffer)
	case dhcpRequest:
		if m.server.IsValid() && m.server != s.host.Addr() {
			return nil // the client took another server's offer
		}
		wanted := m.requested
		if !wanted.IsValid() {
			wanted = m.current
		}
		if wanted != s.board {
			return s.reply(m, dhcpNAK)
		}
		return s.reply(m, dhcpACK)
	}
	return nil
}

func (s dhcpServer) reply(m dhcpMessage, kind byte) []byte {
	b := make([]byte, dhcpHeader, dhcpHeader+64)
	copy(b, m.header)
	b[0] = 2         // a reply; transaction, flags and hardware address stay the client's
	clear(b[12:28])  // ciaddr, yiaddr, siaddr, giaddr
	clear(b[44:236]) // server name and boot file
	host := s.host.Addr().As4()
	option := func(code byte, value ...byte) {
		b = append(append(b, code, byte(len(value))), value...)
	}
	option(optMessageType, kind)
	option(optServerID, host[:]...)
	if kind != dhcpNAK {
		board := s.board.As4()
		copy(b[16:20], board[:])
		option(optLeaseTime, binary.BigEndian.AppendUint32(nil, uint32(lease/time.Second))...)
		option(optSubnetMask, net.CIDRMask(s.host.Bits(), 32)...)
		if s.router {
			option(optRouter, host[:]...)
		}
	}
	b = append(b, optEnd)
	for len(b) < 300 { // the least that BOOTP relays and old clients take
		b = append(b, 0)
	}
	return b
}

// boardAddress is what DHCP gives: nine above the host, or what is left of a
// small network.
func boardAddress(host netip.Prefix) netip.Addr {
	addr := host.Addr()
	for range 9 {
		next := addr.Next()
		if !host.Contains(next) || !host.Contains(next.Next()) { // the last is broadcast
			break
		}
		addr = next
	}
	if addr == host.Addr() {
		return addr.Prev()
	}
	return addr
}

// serveDHCP answers DHCP requests until the network is closed.
func (n *Network) serveDHCP(noRouter bool) error {
	conn, err := n.listenUDP(tcpip.FullAddress{NIC: nic, Port: 67}, true)
	if err != nil {
		return err
	}
	server := dhcpServer{host: n.host, board: boardAddress(n.host), router: !noRouter}
	n.work.Go(func() {
		buf := make([]byte, 2048)
		for {
			size, _, err := conn.ReadFrom(buf)
			if err != nil {
				return // closed with the network
			}
			m, err := parseDHCP(buf[:size])
			if err != nil {
				n.logger.Debug("virtual network: dhcp", "error", err)
				continue
			}
			if n.currentFaults().NoDHCP {
				continue
			}
			if reply := server.answer(m); reply != nil {
				n.logger.Debug("virtual network: dhcp", "request", m.kind, "address", server.board)
				// To everybody: the client has no address yet.
				_, err = conn.WriteTo(reply, &net.UDPAddr{IP: net.IPv4bcast.To4(), Port: 68})
				if err != nil {
					n.logger.Warn("virtual network: dhcp", "error", err)
				}
			}
		}
	})
	return nil
}
