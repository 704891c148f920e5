package virtboard

import (
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// attentionEvery is how often the network card is looked at.
const attentionEvery = 250 * time.Millisecond

// attend wakes a network card that sleeps for ever, until the returned function
// is called.
//
// When U-Boot's 32 receive buffers are used up, QEMU stops reading frames and
// waits to be told of new buffers. U-Boot gives them back without a memory
// barrier between the buffer and its look at whether QEMU wants to be told
// (U-Boot's virtio_mb is empty), so that on a busy machine neither sees the
// other: QEMU waits, U-Boot hears nothing more until it is reset, and TFTP ends
// in "Retry count exceeded". To stop and continue the machine has QEMU look at
// the buffers again. See also unansweredUDP.
func (n *Network) attend(cable, monitor net.Conn, logger *slog.Logger) (stop func()) {
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { io.Copy(io.Discard, monitor) }) // the answers; ends when it is closed
	work.Go(func() {
		tick := time.NewTicker(attentionEvery)
		defer tick.Stop()
		waiting, heard := 0, n.received.Load()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if now := n.received.Load(); now != heard || unread(cable) == 0 {
				waiting, heard = 0, now
				continue
			}
			if waiting++; waiting < 2 {
				continue
			}
			waiting = 0
			logger.Warn("the virtual network card hears nothing any more; waking it")
			monitor.SetWriteDeadline(time.Now().Add(attentionEvery))
			if _, err := io.WriteString(monitor, `{"execute":"stop"}{"execute":"cont"}`+"\n"); err != nil {
				return // QEMU ended
			}
		}
	})
	return func() {
		close(done)
		monitor.Close()
		work.Wait()
	}
}
