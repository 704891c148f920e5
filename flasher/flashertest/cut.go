package flashertest

import (
	"net"
	"sync"
)

// cutter cuts connections after a number of bytes, as a bad cable or a router
// that loses its state does.
type cutter struct {
	mu    sync.Mutex
	after int64 // bytes the board receives before the next cut
	times int   // cuts left
}

// set has the next times connections that carry so many bytes cut there.
func (c *cutter) set(after int64, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after, c.times = after, times
}

func (c *cutter) wrap(conn net.Conn) net.Conn { return &cutConn{Conn: conn, cutter: c} }

// spend says how many of n more bytes a connection that has carried so many may
// carry; fewer than n is the cut.
func (c *cutter) spend(carried, n int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times <= 0 || carried+n <= c.after {
		return n
	}
	c.times--
	return max(c.after-carried, 0)
}

type cutConn struct {
	net.Conn
	cutter  *cutter
	carried int64
}

// Read is used by one goroutine at a time, as by an HTTP client.
func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	may := c.cutter.spend(c.carried, int64(n))
	c.carried += may
	if may < int64(n) {
		c.Conn.Close()
		return int(may), net.ErrClosed
	}
	return n, err
}
