package applet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"
)

// nc connects to a host and a port and copies both ways. It ends when the other
// side has closed; -w bounds the time for the connection.
func (m *Machine) nc(c *call, args []string) int {
	o, rest, ok := c.parse(args, "", "w", nil)
	if !ok || len(rest) != 2 {
		return usage(c)
	}
	host, ok := resolved(rest[0])
	if !ok {
		return c.fail("bad address '%s'", rest[0])
	}
	if _, err := strconv.ParseUint(rest[1], 10, 16); err != nil {
		return c.fail("bad port '%s'", rest[1])
	}
	ctx := c.Context()
	if ip, err := netip.ParseAddr(host); err != nil || !m.Network.reaches(ip) || m.Dial == nil {
		return c.fail("can't connect to remote host (%s): %v", host, errUnreachable)
	}
	var timer *time.Timer
	var conn net.Conn
	var err error
	if o.has('w') {
		seconds, werr := strconv.Atoi(o['w'])
		if werr != nil {
			return c.fail("invalid number '%s'", o['w'])
		}
		timer = time.AfterFunc(time.Duration(seconds)*time.Second, c.Interrupt)
		defer timer.Stop()
	}
	if conn, err = m.Dial(ctx, "tcp", net.JoinHostPort(host, rest[1])); err != nil {
		if timer != nil && ctx.Err() != nil {
			return c.fail("timed out")
		}
		return c.fail("can't connect to remote host (%s): %s", host, dialText(err))
	}
	defer conn.Close()
	if timer != nil {
		timer.Stop()
	}
	// A read of standard input ends with the conversation, a write with the process.
	sending := make(chan error, 1)
	feeder := c.Fork()
	c.K.Go(func() {
		_, rerr, werr := c.copy(conn, feeder.Stream(0))
		if half, ok := conn.(interface{ CloseWrite() error }); ok && rerr == nil && werr == nil {
			half.CloseWrite()
		}
		feeder.Exit(0)
		sending <- werr
	})
	stop := make(chan struct{})
	watching := make(chan struct{})
	c.K.Go(func() {
		defer close(watching)
		select {
		case <-ctx.Done():
			conn.SetDeadline(time.Unix(1, 0))
		case <-stop:
		}
	})
	_, rerr, werr := c.copy(c.out, conn)
	close(stop)
	<-watching
	conn.SetDeadline(time.Unix(1, 0)) // for what is still being sent
	feeder.Interrupt()
	<-sending
	switch {
	case c.Killed() || werr != nil:
		return 1
	case rerr != nil && !errors.Is(rerr, io.EOF) && !errors.Is(rerr, os.ErrDeadlineExceeded):
		return c.fail("read error: %s", readText(rerr))
	}
	return 0
}
