package virtboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// backlog is how many connections wait to be accepted.
const backlog = 128

// Listen announces on a TCP address of the host in the virtual network, with the
// arguments of [net.ListenConfig.Listen]: network is "tcp" or "tcp4"; the host
// in address is empty, 0.0.0.0 or [Network.Address]; port 0 picks a free one. A
// port in use is an error for which errors.Is(err, syscall.EADDRINUSE) holds.
// The listener ends with its Close or with [Board.Close], and Accept then
// returns [net.ErrClosed].
func (n *Network) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network != "tcp" && network != "tcp4" {
		return nil, opError("listen", network, nil, net.UnknownNetworkError(network))
	}
	at, err := n.local(ctx, network, address)
	if err != nil {
		return nil, opError("listen", network, nil, err)
	}
	addr := &net.TCPAddr{IP: net.IP(at.Addr.AsSlice()), Port: int(at.Port)}
	var queue waiter.Queue
	ep, terr := n.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if terr != nil {
		return nil, opError("listen", network, addr, goError(terr))
	}
	// As the net package does: a port whose last connections linger in
	// TIME_WAIT can be listened on again.
	ep.SocketOptions().SetReuseAddress(true)
	if terr = ep.Bind(at); terr == nil {
		terr = ep.Listen(backlog)
	}
	if terr != nil {
		ep.Close()
		return nil, opError("listen", network, addr, goError(terr))
	}
	l := &listener{TCPListener: gonet.NewTCPListener(n.stack, &queue, ep), network: n, closed: make(chan struct{})}
	if err := n.adopt(l); err != nil {
		l.Close()
		return nil, opError("listen", network, addr, err)
	}
	return l, nil
}

// ListenPacket announces on a UDP address of the host in the virtual network,
// with the arguments of [net.ListenConfig.ListenPacket]: network is "udp" or
// "udp4", and otherwise as [Network.Listen] says. Port 69 is as good as any.
func (n *Network) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	if network != "udp" && network != "udp4" {
		return nil, opError("listen", network, nil, net.UnknownNetworkError(network))
	}
	at, err := n.local(ctx, network, address)
	if err != nil {
		return nil, opError("listen", network, nil, err)
	}
	return n.listenUDP(at, false)
}

func (n *Network) listenUDP(at tcpip.FullAddress, broadcast bool) (*packetConn, error) {
	addr := &net.UDPAddr{IP: net.IP(at.Addr.AsSlice()), Port: int(at.Port)}
	var queue waiter.Queue
	ep, terr := n.stack.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if terr != nil {
		return nil, opError("listen", "udp", addr, goError(terr))
	}
	ep.SocketOptions().SetBroadcast(broadcast)
	ep.SocketOptions().SetReceiveBufferSize(1<<20, true)
	ep.SocketOptions().SetSendBufferSize(1<<20, true)
	if terr := ep.Bind(at); terr != nil {
		ep.Close()
		return nil, opError("listen", "udp", addr, goError(terr))
	}
	c := &packetConn{UDPConn: gonet.NewUDPConn(&queue, ep), network: n, closed: make(chan struct{})}
	if err := n.adopt(c); err != nil {
		c.Close()
		return nil, opError("listen", "udp", addr, err)
	}
	return c, nil
}

// local turns the address of a listener into one of the stack's.
func (n *Network) local(ctx context.Context, network, address string) (tcpip.FullAddress, error) {
	var none tcpip.FullAddress
	if err := ctx.Err(); err != nil {
		return none, err
	}
	n.mu.Lock()
	closed := n.closed
	n.mu.Unlock()
	if closed {
		return none, ErrClosed
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return none, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return none, err
	}
	if host != "" {
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return none, fmt.Errorf("address %q: %w", address, err)
		}
		if !ip.IsUnspecified() && ip != n.Address() {
			return none, fmt.Errorf("%v is not the host's address in the virtual network, %v: %w", ip, n.Address(), syscall.EADDRNOTAVAIL)
		}
	}
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(n.Address().As4()), Port: uint16(port)}, nil
}

// adopt remembers what is to be closed with the network.
func (n *Network) adopt(c io.Closer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	n.sockets[c] = struct{}{}
	return nil
}

func (n *Network) forget(c io.Closer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.sockets, c)
}

func opError(op, network string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: addr, Err: err}
}

// goError is the stack's error as the standard library would have it.
func goError(err tcpip.Error) error {
	switch err.(type) {
	case *tcpip.ErrPortInUse:
		return syscall.EADDRINUSE
	case *tcpip.ErrNoPortAvailable, *tcpip.ErrBadLocalAddress:
		return syscall.EADDRNOTAVAIL
	}
	return errors.New(err.String())
}

// listener is a gonet.TCPListener that ends as a net.Listener does.
type listener struct {
	*gonet.TCPListener
	network *Network
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err != nil && isClosed(l.closed) {
		return nil, opError("accept", "tcp", nil, net.ErrClosed)
	}
	return c, err
}

func (l *listener) Close() error {
	err := opError("close", "tcp", nil, net.ErrClosed)
	l.once.Do(func() {
		close(l.closed)
		l.network.forget(l)
		l.TCPListener.Shutdown() // unblocks Accept
		err = l.TCPListener.Close()
	})
	return err
}

// packetConn is a gonet.UDPConn that ends as a net.PacketConn does.
type packetConn struct {
	*gonet.UDPConn
	network *Network
	once    sync.Once
	closed  chan struct{}
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := c.UDPConn.ReadFrom(b)
	if err != nil && isClosed(c.closed) {
		return 0, nil, opError("read", "udp", nil, net.ErrClosed)
	}
	return n, addr, err
}

func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if _, ok := addr.(*net.UDPAddr); !ok {
		return 0, opError("write", "udp", addr, syscall.EINVAL)
	}
	n, err := c.UDPConn.WriteTo(b, addr)
	if err != nil && isClosed(c.closed) {
		return 0, opError("write", "udp", addr, net.ErrClosed)
	}
	return n, err
}

func (c *packetConn) Close() error {
	err := opError("close", "udp", nil, net.ErrClosed)
	c.once.Do(func() {
		close(c.closed)
		c.network.forget(c)
		err = c.UDPConn.Close()
	})
	return err
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
