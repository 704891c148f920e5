package flasher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// Network is where the servers of a session listen. The default is the host's
// own network; net.ListenConfig satisfies it. A virtual board brings its own.
//
// A Network that has a method Address() netip.Addr also says which address the
// board shall use for this host.
type Network interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// addresser is a Network that knows the host's address in it.
type addresser interface{ Address() netip.Addr }

// bind is where a server listens, by what WithBindAddress says.
func (c *config) bind(port int) string {
	address := ""
	if c.bindAddr.IsValid() {
		address = c.bindAddr.String()
	}
	return net.JoinHostPort(address, strconv.Itoa(port))
}

// where is the network to listen on.
func (c *config) where() Network {
	if c.network == nil {
		return &net.ListenConfig{}
	}
	return c.network
}

// listenPacket binds the TFTP port. Both ports of a session are bound before the
// board is touched, so that one that cannot be had costs nobody a power cycle.
func (c *config) listenPacket(ctx context.Context, address string) (net.PacketConn, error) {
	conn, err := c.where().ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, portError("TFTP", "udp", address, err)
	}
	return conn, nil
}

// listenHTTP binds the HTTP port and says which it is.
func (c *config) listenHTTP(ctx context.Context, address string) (net.Listener, int, error) {
	l, err := c.where().Listen(ctx, "tcp", address)
	if err != nil {
		return nil, 0, portError("HTTP", "tcp", address, err)
	}
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil, 0, errors.Join(fmt.Errorf("HTTP listener has the address %v, which is not TCP", l.Addr()), l.Close())
	}
	return l, at.Port, nil
}

// tftpPort is fixed: U-Boot sends its request there unless it was built with
// CONFIG_TFTP_PORT, which few builds are.
const tftpPort = 69

// portError names the port and what can be done about it.
func portError(server, network, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s server on %s %s: %w: %w (another TFTP daemon or another flash holds it; stop that, use its directory with WithTFTPDir, load another way with WithLoad, bind another address of this host with WithBindAddress, or have the flashes of one process share their servers with WithServers)",
			server, network, address, ErrPortTaken, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s server on %s %s: %w: %w (ways out: setcap cap_net_bind_service=+ep on the program, sysctl net.ipv4.ip_unprivileged_port_start=69, or the directory of a TFTP daemon that runs already, with WithTFTPDir; WithLoad has ways without TFTP)",
			server, network, address, ErrPortPermission, err)
	default:
		return fmt.Errorf("%s server on %s %s: %w", server, network, address, err)
	}
}

// serverAddress returns the address that the board shall use for this host:
// what the caller said, what the Network says, or the local end of the route to
// the board. No packet is sent for the latter.
func (f *Flasher) serverAddress(board netip.Addr) (netip.Addr, error) {
	if f.cfg.serverAddr.IsValid() {
		return f.cfg.serverAddr, nil
	}
	if n, ok := f.cfg.network.(addresser); ok {
		return n.Address(), nil
	}
	if !board.IsValid() {
		return netip.Addr{}, fmt.Errorf("%w: the board has no address (say it with WithServerAddress)", ErrNoServerAddress)
	}
	conn, err := net.Dial("udp", net.JoinHostPort(board.String(), "9"))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w %s: %w (say it with WithServerAddress)", ErrNoServerAddress, board, err)
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("%w %s: local address %v", ErrNoServerAddress, board, conn.LocalAddr())
	}
	return local.AddrPort().Addr().Unmap(), nil
}
