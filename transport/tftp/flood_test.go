package tftp_test

import (
	"bytes"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/tftp"
)

// TestFloodIsBounded: however fast requests come, from one port or from many, no more
// work is begun than can be had at once, and a board is still served.
func TestFloodIsBounded(t *testing.T) {
	for _, ports := range []int{1, 50} {
		t.Run(fmt.Sprintf("%d ports", ports), func(t *testing.T) {
			want := random(200_000)
			s, addr := start(t, map[string][]byte{"k": want}, tftp.WithMaxTransfers(8))
			before := runtime.NumGoroutine()
			var most atomic.Int64
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
						runtime.Gosched()
					}
				}
			}()
			requests := [][]byte{[]byte(rrq("k", "octet")), []byte(rrq("k", "octet", "windowsize", "16")), []byte(rrq("none", "octet"))}
			for i := range ports {
				c := dial(t, addr)
				for j := range 20_000 / ports {
					c.Write(requests[(i+j)%3])
				}
			}
			// What the flood has put into the socket comes before a board's request, which
			// would be lost if there was no room; U-Boot asks again every five seconds.
			for last := int64(-1); s.Stats().Started+s.Stats().Failed != last; time.Sleep(100 * time.Millisecond) {
				last = s.Stats().Started + s.Stats().Failed
			}
			got, err := fetch(t, addr, rrq("k", "octet", "blksize", "1468", "windowsize", "8"), nil)
			close(stop)
			<-done
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("legitimate client: %d bytes, %v", len(got), err)
			}
			// A transfer by pin/tftp has four.
			if n := most.Load() - int64(before); n > 8*2*5 {
				t.Errorf("%d goroutines at once", n)
			}
		})
	}
}
