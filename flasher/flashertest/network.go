package flashertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// The simulated network: the host and the board on a documentation network
// (RFC 5737), so that nothing real is meant by its addresses. boardAddress is the
// first board's.
var (
	hostAddress  = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	boardAddress = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, 15}), 24)
)

// Network is the cable between the host and a [Board], or between the host and the
// boards that share it by [WithNetworkOf]: what listens here is reached by those
// only, under [Network.Address], and any port can be had,
// 69 too. The sockets behind it are on loopback. It is a flasher.Network and may
// be used concurrently.
type Network struct {
	config   net.ListenConfig
	udp, tcp ports
	cut      cutter

	mu     sync.Mutex
	boards int // have an address
}

// lease returns the address of one more board.
func (n *Network) lease() (netip.Prefix, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.boards == 200 {
		return netip.Prefix{}, fmt.Errorf("%d boards share the network already", n.boards)
	}
	a := boardAddress.Addr().As4()
	a[3] += byte(n.boards)
	n.boards++
	return netip.PrefixFrom(netip.AddrFrom4(a), boardAddress.Bits()), nil
}

// Address is the host's address in this network.
func (n *Network) Address() netip.Addr { return hostAddress }

// Listen listens on a free TCP port of loopback.
func (n *Network) Listen(ctx context.Context, _, address string) (net.Listener, error) {
	port, err := portOf(address)
	if err != nil {
		return nil, err
	}
	l, err := n.config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	if !n.tcp.claim(port, l.Addr()) {
		return nil, errors.Join(taken("tcp", port), l.Close())
	}
	return &listener{Listener: l, network: n, port: port}, nil
}

// ListenPacket listens on a free UDP port of loopback.
func (n *Network) ListenPacket(ctx context.Context, _, address string) (net.PacketConn, error) {
	port, err := portOf(address)
	if err != nil {
		return nil, err
	}
	c, err := n.config.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	if !n.udp.claim(port, c.LocalAddr()) {
		return nil, errors.Join(taken("udp", port), c.Close())
	}
	return &packetConn{PacketConn: c, network: n, port: port}, nil
}

func portOf(address string) (uint16, error) {
	_, service, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	port, err := net.LookupPort("udp", service)
	return uint16(port), err
}

func taken(network string, port uint16) error {
	return fmt.Errorf("flashertest: %s port %d is taken", network, port)
}

// ports says where the sockets behind the network's ports really are.
type ports struct {
	mu sync.Mutex
	at map[uint16]net.Addr
}

func (p *ports) claim(port uint16, at net.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[uint16]net.Addr{}
	}
	if p.at[port] != nil {
		return false
	}
	p.at[port] = at
	return true
}

func (p *ports) release(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, port)
}

func (p *ports) find(port uint16) net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[port]
}

// listener is a TCP port of the network. Its Addr has the port that the board
// sees.
type listener struct {
	net.Listener
	network *Network
	port    uint16
	once    sync.Once
}

func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(hostAddress, l.port))
}

func (l *listener) Close() error {
	l.once.Do(func() { l.network.tcp.release(l.port) })
	return l.Listener.Close()
}

// packetConn is a UDP port of the network.
type packetConn struct {
	net.PacketConn
	network *Network
	port    uint16
	once    sync.Once
}

func (c *packetConn) Close() error {
	c.once.Do(func() { c.network.udp.release(c.port) })
	return c.PacketConn.Close()
}

// errUnreachable is what the board gets for a host that is not there.
var errUnreachable = errors.New("no route to host")

// dialUDP opens a socket of the board's.
func (n *Network) dialUDP(ctx context.Context, server netip.AddrPort) (net.PacketConn, net.Addr, error) {
	to := n.udp.find(server.Port())
	if server.Addr() != hostAddress {
		return nil, nil, errUnreachable
	}
	if to == nil { // nobody listens: packets go nowhere
		to = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}
	}
	c, err := n.config.ListenPacket(ctx, "udp", "127.0.0.1:0")
	return c, to, err
}

// dialTCP opens a connection of the board's. The board also reaches servers on
// the host's loopback that a test started, under their own addresses.
func (n *Network) dialTCP(ctx context.Context, _, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("bad address %q", address)
	}
	to := n.tcp.find(at.Port())
	var d net.Dialer
	switch {
	case at.Addr() == hostAddress && to != nil:
		address = to.String()
	case !at.Addr().IsLoopback():
		return nil, errUnreachable
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return n.cut.wrap(c), nil
}
