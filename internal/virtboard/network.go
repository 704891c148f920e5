package virtboard

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	nic      tcpip.NICID = 1
	mtu                  = 1500
	maxFrame             = 64 << 10 // more than a frame of QEMU's can be
	// queueLen is how many frames wait for a board that does not take them
	// before they are dropped, as in a switch.
	queueLen = 4096
	// batch is how many bytes of frames go to QEMU in one write.
	batch = 128 << 10
	// unansweredUDP is how many UDP frames go to the board without one from it.
	// What is more is lost, as on a network card whose ring is full: U-Boot's has
	// 32 buffers, and QEMU would queue the rest behind them. After ringPause
	// without a frame, the board has had the time to take what was in its ring.
	unansweredUDP = 24
	ringPause     = 100 * time.Millisecond
)

// Network is the Ethernet cable of a board with a host at its other end: a
// TCP/IP stack inside this process on which servers listen, and a DHCP answer.
// It is there while the board is off. All methods may be called concurrently.
type Network struct {
	host   netip.Prefix
	logger *slog.Logger
	stack  *stack.Stack
	link   *channel.Endpoint
	ctx    context.Context // ends with the network
	cancel context.CancelFunc
	work   sync.WaitGroup
	late   chan lateFrame

	received   atomic.Int64 // frames from the board
	unanswered atomic.Int64 // UDP frames to the board since the last one from it
	lastUDP    time.Time    // when the last of them went; sendLoop's

	mu      sync.Mutex
	faults  Faults
	sockets map[io.Closer]struct{}
	closed  bool

	wire sync.Mutex // held while writing to conn
	conn net.Conn   // to QEMU; nil while the board is off
}

// lateFrame is a frame that [Faults.Delay] holds back.
type lateFrame struct {
	due   time.Time
	frame []byte
}

func newNetwork(host netip.Prefix, noRouter bool, logger *slog.Logger) (*Network, error) {
	ctx, cancel := context.WithCancel(context.Background())
	n := &Network{
		host:   host,
		logger: logger,
		// The stack takes the Ethernet header off this: with 1500 it would
		// fragment datagrams that fill a frame, which U-Boot does not join.
		link:    channel.New(queueLen, mtu+header.EthernetMinimumSize, "\x5a\x94\xef\xe4\x0c\xdd"),
		ctx:     ctx,
		cancel:  cancel,
		late:    make(chan lateFrame, queueLen),
		sockets: map[io.Closer]struct{}{},
	}
	// A unix socket does not flip bits.
	n.link.LinkEPCapabilities = stack.CapabilityRXChecksumOffload
	n.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{udp.NewProtocol, tcp.NewProtocol},
		HandleLocal:        true,
	})
	if err := n.configure(); err != nil {
		n.stack.Destroy()
		cancel()
		return nil, fmt.Errorf("set up the network: %v", err)
	}
	n.work.Go(n.sendLoop)
	n.work.Go(n.lateLoop)
	if err := n.serveDHCP(noRouter); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *Network) configure() tcpip.Error {
	if err := n.stack.CreateNIC(nic, ethernet.New(n.link)); err != nil {
		return err
	}
	address := tcpip.ProtocolAddress{
		Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{
			Address:   tcpip.AddrFrom4(n.host.Addr().As4()),
			PrefixLen: n.host.Bits(),
		},
	}
	if err := n.stack.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
		return err
	}
	n.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	// The defaults bound a transfer long before the emulated CPU does.
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 4 << 20, Max: 8 << 20}
	if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &send); err != nil {
		return err
	}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 8 << 20}
	if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &receive); err != nil {
		return err
	}
	sack := tcpip.TCPSACKEnabled(true)
	return n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
}

// Address returns the host's address in the virtual network.
func (n *Network) Address() netip.Addr { return n.host.Addr() }

// plug connects the cable to a QEMU process that was just started. The returned
// function pulls it out and waits until nothing of it runs.
func (n *Network) plug(conn net.Conn) (unplug func()) {
	n.wire.Lock()
	n.conn = conn
	n.wire.Unlock()
	var receiving sync.WaitGroup
	receiving.Go(func() {
		if err := n.receiveLoop(conn); err != nil {
			n.logger.Warn("virtual network broke", "error", err)
		}
	})
	return func() {
		conn.Close() // before the lock: a write to a stuck QEMU holds it
		n.wire.Lock()
		if n.conn == conn {
			n.conn = nil
		}
		n.wire.Unlock()
		receiving.Wait()
	}
}

// receiveLoop takes frames from the board until the connection ends.
func (n *Network) receiveLoop(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, batch)
	var head [4]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil // the process ended, or the cable was pulled
		}
		size := binary.BigEndian.Uint32(head[:])
		if size > maxFrame {
			return fmt.Errorf("qemu sent a frame of %d bytes", size)
		}
		n.received.Add(1)
		n.unanswered.Store(0)
		view := buffer.NewViewSize(int(size))
		if _, err := io.ReadFull(r, view.AsSlice()); err != nil {
			view.Release()
			return nil
		}
		if n.currentFaults().loses() {
			view.Release()
			continue
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(view)})
		n.link.InjectInbound(0, pkt)
		pkt.DecRef()
	}
}

// sendLoop takes frames to the board, as many at a time as there are.
func (n *Network) sendLoop() {
	out := make([]byte, 0, batch+maxFrame)
	for {
		pkt := n.link.ReadContext(n.ctx)
		if pkt == nil {
			return
		}
		faults := n.currentFaults()
		out = out[:0]
		for pkt != nil {
			start := len(out)
			if !faults.loses() && n.fits(pkt) {
				out = appendFrame(out, pkt)
			}
			pkt.DecRef()
			if faults.Delay > 0 && len(out) > start {
				select {
				case n.late <- lateFrame{time.Now().Add(faults.Delay), append([]byte(nil), out[start:]...)}:
				default: // the queue is full: dropped
				}
				out = out[:start]
			}
			if len(out) >= batch {
				break
			}
			pkt = n.link.Read()
		}
		n.send(out)
	}
}

// fits reports whether the board's network card has room for a frame.
func (n *Network) fits(pkt *stack.PacketBuffer) bool {
	if pkt.TransportProtocolNumber != udp.ProtocolNumber {
		return true
	}
	now := time.Now()
	if now.Sub(n.lastUDP) > ringPause {
		n.unanswered.Store(0)
	}
	n.lastUDP = now
	return n.unanswered.Add(1) <= unansweredUDP
}

// lateLoop sends the frames that were held back when they are due.
func (n *Network) lateLoop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case f := <-n.late:
			timer.Reset(time.Until(f.due))
			select {
			case <-n.ctx.Done():
				return
			case <-timer.C:
			}
			n.send(f.frame)
		}
	}
}

// send writes framed packets to the board; with the board off they are lost.
func (n *Network) send(frames []byte) {
	n.wire.Lock()
	defer n.wire.Unlock()
	if n.conn != nil && len(frames) > 0 {
		n.conn.Write(frames) // fails when QEMU ends, which the board notices
	}
}

// appendFrame appends a packet the way QEMU's stream sockets carry it: its
// length in four bytes, big endian, then the frame.
func appendFrame(out []byte, pkt *stack.PacketBuffer) []byte {
	start := len(out)
	out = append(out, 0, 0, 0, 0)
	views, skip := pkt.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		out = append(out, b[skip:]...)
		skip = 0
	}
	binary.BigEndian.PutUint32(out[start:], uint32(len(out)-start-4))
	return out
}

// close closes everything that listens and ends all goroutines. The cable must
// be pulled before.
func (n *Network) close() {
	n.mu.Lock()
	n.closed = true
	sockets := n.sockets
	n.sockets = nil
	n.mu.Unlock()
	for s := range sockets {
		s.Close()
	}
	n.cancel()
	n.stack.Destroy()
	n.work.Wait()
}

// Faults are what can be wrong with a network. The zero value is a good one.
type Faults struct {
	// NoDHCP leaves DHCP requests without an answer.
	NoDHCP bool
	// LinkDown loses every frame in both directions. The board's PHY goes on
	// reporting a link.
	LinkDown bool
	// Loss is the share of frames that is lost, in each direction, 0 to 1.
	Loss float64
	// Delay is added to each frame on its way to the board, so that a round
	// trip takes that much longer.
	Delay time.Duration
}

// loses decides about one frame.
func (f Faults) loses() bool {
	return f.LinkDown || f.Loss > 0 && rand.Float64() < f.Loss
}

// SetFaults makes the network behave as f says from now on. It fails where a
// value is out of its range.
func (n *Network) SetFaults(f Faults) error {
	if !(f.Loss >= 0 && f.Loss <= 1) {
		return &Error{Op: "set network faults", Err: fmt.Errorf("loss of %v is not within 0 and 1", f.Loss)}
	}
	if f.Delay < 0 {
		return &Error{Op: "set network faults", Err: fmt.Errorf("delay of %v is below 0", f.Delay)}
	}
	n.mu.Lock()
	n.faults = f
	n.mu.Unlock()
	return nil
}

func (n *Network) currentFaults() Faults {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.faults
}
