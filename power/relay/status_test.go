//go:build unix

package relay_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/relay"
)

// talking is a board with two relays that answers, as noyito's does.
type talking struct {
	mu     sync.Mutex
	pulled map[byte]bool
	stuck  byte // a relay whose contact is welded
}

func (b *talking) serve(master *os.File) {
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(master, one); err != nil {
			return
		}
		if one[0] == 0xff {
			b.mu.Lock()
			for n := byte(1); n <= 2; n++ {
				// In two parts, as a slow serial line brings it.
				fmt.Fprintf(master, "CH%d: ", n)
				fmt.Fprintf(master, "%s\r\n", map[bool]string{true: "ON ", false: "OFF"}[b.pulled[n]])
			}
			b.mu.Unlock()
			continue
		}
		rest := make([]byte, 3)
		if _, err := io.ReadFull(master, rest); err != nil {
			return
		}
		b.mu.Lock()
		if one[0] == 0xa0 && rest[2] == 0xa0+rest[0]+rest[1] && rest[0] != b.stuck {
			b.pulled[rest[0]] = rest[1] == 1
		}
		b.mu.Unlock()
	}
}

func newTalking(t *testing.T, stuck byte) (b *talking, port string) {
	t.Helper()
	master, port := board(t)
	b = &talking{pulled: map[byte]bool{}, stuck: stuck}
	go b.serve(master)
	return b, port
}

func TestStatus(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts []relay.Option
		on   map[byte]bool // relays that are pulled while the power is on
		off  map[byte]bool
	}{
		{"one relay", nil, map[byte]bool{2: true}, map[byte]bool{2: false}},
		{"normally closed", []relay.Option{relay.WithNormallyClosed()}, map[byte]bool{2: false}, map[byte]bool{2: true}},
		{"two in parallel", []relay.Option{relay.WithParallel(1)}, map[byte]bool{1: true, 2: true}, map[byte]bool{1: false, 2: false}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, port := newTalking(t, 0)
			c, err := relay.New(port, 2, append(tc.opts, relay.WithStatus())...)
			if err != nil {
				t.Fatal(err)
			}
			for _, on := range []bool{true, false} {
				do, want := c.Off, tc.off
				if on {
					do, want = c.On, tc.on
				}
				if err := do(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got, err := c.State(t.Context()); err != nil || got != on {
					t.Errorf("state %v, %v; want %v", got, err, on)
				}
				b.mu.Lock()
				for n, pulled := range want {
					if b.pulled[n] != pulled {
						t.Errorf("power %v: relay %d pulled %v", on, n, b.pulled[n])
					}
				}
				b.mu.Unlock()
			}
		})
	}
}

// TestStuckRelay: a board that says that nothing changed is believed, also where
// one of two relays did.
func TestStuckRelay(t *testing.T) {
	_, port := newTalking(t, 1)
	c, err := relay.New(port, 2, relay.WithParallel(1), relay.WithStatus(),
		relay.WithSwitching(power.Switching{Tries: 1, Timeout: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.On(t.Context()); !errors.Is(err, power.ErrState) {
		t.Errorf("got %v, want ErrState", err)
	}
}

// TestSilentBoard: one that does not answer is not waited for without an end.
func TestSilentBoard(t *testing.T) {
	_, port := board(t)
	c, err := relay.New(port, 1, relay.WithStatus(), relay.WithSwitching(power.Switching{Tries: 1, Timeout: 300 * time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.State(t.Context()); err == nil || !strings.Contains(err.Error(), "does it answer at all") {
		t.Errorf("got %v", err)
	}
	plain, err := relay.New(port, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.State(t.Context()); !errors.Is(err, power.ErrUnsupported) {
		t.Errorf("without WithStatus: %v, want ErrUnsupported", err)
	}
}

func TestParallelRefuses(t *testing.T) {
	for _, more := range [][]int{{1}, {2, 2}, {0}, {256}} {
		if _, err := relay.New("/dev/ttyUSB0", 1, relay.WithParallel(more...)); err == nil {
			t.Errorf("New took relays %v beside 1", more)
		}
	}
}
