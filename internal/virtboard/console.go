package virtboard

import (
	"io"
	"os"
	"sync"
)

// overrun is how many bytes a console keeps for a reader that does not read.
// What comes then is lost, as on a UART.
const overrun = 1 << 20

// uart is the board's serial line: it outlives the QEMU processes that drive it.
type uart struct {
	mu    sync.Mutex
	ended bool // ports that are opened from now on are closed
	ports map[*port]struct{}
	tx    chan []byte // what the host types, to the running QEMU
	off   chan struct{}
}

func newUART() *uart {
	off := make(chan struct{})
	close(off)
	return &uart{ports: map[*port]struct{}{}, tx: make(chan []byte), off: off}
}

// open plugs a new port in.
func (u *uart) open() *port {
	p := &port{uart: u, closed: make(chan struct{}), arrived: make(chan struct{}, 1)}
	u.mu.Lock()
	u.ports[p] = struct{}{}
	ended := u.ended
	u.mu.Unlock()
	if ended {
		p.Close()
	}
	return p
}

// attach connects the line to a QEMU process: r is what it prints, w takes what
// is typed. It returns when the process has died, with off closed.
func (u *uart) attach(r io.Reader, w io.Writer, off chan struct{}) {
	u.mu.Lock()
	u.off = off
	u.mu.Unlock()
	var typing sync.WaitGroup
	typing.Go(func() {
		for {
			select {
			case <-off:
				return
			case b := <-u.tx:
				w.Write(b) // fails when QEMU dies: typed to a dead board
			}
		}
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		u.deliver(buf[:n])
		if err != nil {
			break
		}
	}
	close(off)
	typing.Wait()
}

// deliver hands bytes from the board to every open port.
func (u *uart) deliver(b []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := range u.ports {
		p.put(b)
	}
}

// close pulls all ports out.
func (u *uart) close() {
	u.mu.Lock()
	u.ended = true
	ports := make([]*port, 0, len(u.ports))
	for p := range u.ports {
		ports = append(ports, p)
	}
	u.mu.Unlock()
	for _, p := range ports {
		p.Close()
	}
}

// port is one opening of the serial line.
type port struct {
	uart    *uart
	once    sync.Once
	closed  chan struct{}
	arrived chan struct{} // holds a token while buf may have bytes

	mu  sync.Mutex
	buf []byte
}

func (p *port) put(b []byte) {
	p.mu.Lock()
	room := overrun - len(p.buf)
	p.buf = append(p.buf, b[:min(len(b), room)]...)
	p.mu.Unlock()
	select {
	case p.arrived <- struct{}{}:
	default:
	}
}

// Read waits for bytes from the board, also while the board is off.
func (p *port) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		p.mu.Lock()
		n := copy(b, p.buf)
		p.buf = p.buf[n:]
		left := len(p.buf)
		if left == 0 {
			p.buf = nil
		}
		p.mu.Unlock()
		if n > 0 {
			if left > 0 {
				select {
				case p.arrived <- struct{}{}:
				default:
				}
			}
			return n, nil
		}
		select {
		case <-p.closed:
			return 0, os.ErrClosed
		case <-p.arrived:
		}
	}
}

// Write types to the board. It waits while the board takes no input, until the
// port is closed or the board is switched off. What is typed to a board that is
// off goes nowhere, without an error, as on a real cable.
func (p *port) Write(b []byte) (int, error) {
	select {
	case <-p.closed:
		return 0, os.ErrClosed
	default:
	}
	p.uart.mu.Lock()
	off := p.uart.off
	p.uart.mu.Unlock()
	select {
	case <-p.closed:
		return 0, os.ErrClosed
	case <-off:
	case p.uart.tx <- append([]byte(nil), b...):
	}
	return len(b), nil
}

// Close pulls the port out; a waiting Read or Write returns os.ErrClosed.
func (p *port) Close() error {
	p.once.Do(func() {
		p.uart.mu.Lock()
		delete(p.uart.ports, p)
		p.uart.mu.Unlock()
		close(p.closed)
	})
	return nil
}
