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

// listen binds both ports of a session before the board is touched, so that a
// port that cannot be had costs nobody a power cycle. Where a TFTP daemon is used,
// tftp is nil.
func (f *Flasher) listen(ctx context.Context) (tftp net.PacketConn, http net.Listener, err error) {
	bind := ""
	if f.cfg.bindAddr.IsValid() {
		bind = f.cfg.bindAddr.String()
	}
	if f.cfg.tftpDir == "" {
		tftpAddr := net.JoinHostPort(bind, strconv.Itoa(tftpPort))
		tftp, err = f.cfg.network.ListenPacket(ctx, "udp", tftpAddr)
		if err != nil {
			return nil, nil, portError("TFTP", "udp", tftpAddr, err)
		}
	}
	httpAddr := net.JoinHostPort(bind, strconv.Itoa(f.cfg.httpPort))
	http, err = f.cfg.network.Listen(ctx, "tcp", httpAddr)
	if err != nil {
		err = portError("HTTP", "tcp", httpAddr, err)
	} else if _, ok := http.Addr().(*net.TCPAddr); !ok {
		err = errors.Join(fmt.Errorf("HTTP listener has the address %v, which is not TCP", http.Addr()), http.Close())
	}
	if err != nil {
		if tftp != nil {
			err = errors.Join(err, tftp.Close())
		}
		return nil, nil, err
	}
	return tftp, http, nil
}

// tftpPort is fixed: U-Boot sends its request there unless it was built with
// CONFIG_TFTP_PORT, which few builds are.
const tftpPort = 69

// portError names the port and what can be done about it.
func portError(server, network, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s server on %s %s: %w: %w (another TFTP daemon or another flash holds it; stop that, use its directory with WithTFTPDir, or bind another address of this host with WithBindAddress)",
			server, network, address, ErrPortTaken, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s server on %s %s: %w: %w (ways out: setcap cap_net_bind_service=+ep on the program, sysctl net.ipv4.ip_unprivileged_port_start=69, or the directory of a TFTP daemon that runs already, with WithTFTPDir)",
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
