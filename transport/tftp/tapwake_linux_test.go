package tftp_test

import (
	"io"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// monitorArgs has QEMU offer its monitor for wake.
func (n *tapnet) monitorArgs() []string {
	return []string{"-qmp", "unix:" + n.monitor() + ",server=on,wait=off"}
}

func (n *tapnet) monitor() string { return filepath.Join(filepath.Dir(n.socket), "qmp") }

// wake looks after QEMU's network card until the test ends. When the 32 buffers
// of U-Boot's driver are used up, QEMU may wait for ever to be told of new ones
// (see internal/virtboard); to stop and continue the machine has it look again.
func (n *tapnet) wake(qemu *net.UnixConn, done <-chan struct{}) {
	var monitor net.Conn
	waiting, heard := 0, n.heard.Load()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			if monitor != nil {
				monitor.Close()
			}
			return
		case <-tick.C:
		}
		if now := n.heard.Load(); now != heard || unread(qemu) == 0 {
			waiting, heard = 0, now
			continue
		}
		if waiting++; waiting < 2 {
			continue
		}
		waiting = 0
		if monitor == nil {
			var err error
			if monitor, err = net.Dial("unix", n.monitor()); err != nil {
				return
			}
			go io.Copy(io.Discard, monitor) // ends when it is closed
			io.WriteString(monitor, `{"execute":"qmp_capabilities"}`)
		}
		n.woken.Add(1)
		io.WriteString(monitor, `{"execute":"stop"}{"execute":"cont"}`)
	}
}

func unread(c *net.UnixConn) (size int) {
	if raw, err := c.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { size, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	return size
}
