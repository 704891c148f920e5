package flashertest_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// fault is one thing that is wrong. Several are put together.
type fault struct {
	name string
	set  func(*flashertest.Faults)
}

var faults = []fault{
	{"dropped characters", func(f *flashertest.Faults) { f.DropCharacters = 0.0005 }},
	{"many dropped characters", func(f *flashertest.Faults) { f.DropCharacters = 0.02 }},
	{"repeated characters", func(f *flashertest.Faults) { f.RepeatCharacters = 0.0005 }},
	{"flipped characters", func(f *flashertest.Faults) { f.FlipCharacters = 0.0005 }},
	{"many flipped characters", func(f *flashertest.Faults) { f.FlipCharacters = 0.02 }},
	{"noise lines", func(f *flashertest.Faults) { f.Noise = 0.0005 }},
	{"slow line", func(f *flashertest.Faults) { f.CharactersPerSecond = 11520 }},
	{"no DHCP", func(f *flashertest.Faults) { f.NoDHCP = true }},
	{"no Ethernet", func(f *flashertest.Faults) { f.NoEthernet = true }},
	{"TFTP loss", func(f *flashertest.Faults) { f.TFTPLoss = 0.02 }},
	{"TFTP truncated", func(f *flashertest.Faults) { f.TFTPTruncate = 50_000 }},
	{"HTTP cut", func(f *flashertest.Faults) { f.CutHTTPAfter, f.CutHTTPTimes = 1<<20, 3 }},
	{"past U-Boot", func(f *flashertest.Faults) { f.PastBootloader = true }},
	{"wrong password", func(f *flashertest.Faults) { f.RefusePassword = true }},
	{"hang", func(f *flashertest.Faults) { f.HangIn = 700 * time.Millisecond }},
	{"panic", func(f *flashertest.Faults) { f.PanicIn = 700 * time.Millisecond }},
	{"reset", func(f *flashertest.Faults) { f.ResetIn = 700 * time.Millisecond }},
	{"reset while writing", func(f *flashertest.Faults) { f.ResetAtWritten = 5 << 20 }},
	{"write error", func(f *flashertest.Faults) { f.WriteErrorAt = 3 << 20 }},
	{"read error", func(f *flashertest.Faults) { f.ReadErrorAt = 3 << 20 }},
	{"bit flip", func(f *flashertest.Faults) { f.FlipAt = []int64{3<<20 + 17} }},
	{"bit flip, once", func(f *flashertest.Faults) { f.FlipAt, f.FlipOnce = []int64{3<<20 + 17}, true }},
	{"forged capacity", func(f *flashertest.Faults) { f.Capacity = 5 << 20 }},
	{"read-only disk", func(f *flashertest.Faults) { f.ReadOnly = true }},
}

// limits are short, so that what hangs is found out soon; what they make of a
// slow machine is a typed error, never a wrong success.
var limits = flasher.Timeouts{
	Power: 5 * time.Second, Bootloader: 10 * time.Second, Network: 15 * time.Second, Load: 15 * time.Second, Boot: 15 * time.Second,
	Command: 15 * time.Second, Image: 30 * time.Second, Stall: 5 * time.Second, Write: 40 * time.Second, Sync: 10 * time.Second, Verify: 20 * time.Second,
}

// tally counts how flashes ended.
type tally struct {
	mu  sync.Mutex
	how map[string]int
}

func (ta *tally) add(how string) {
	ta.mu.Lock()
	defer ta.mu.Unlock()
	ta.how[how]++
}

// TestFaults: whatever is wrong with the board, one fault at a time and two at a
// time, a flash ends within its deadline, either with the image on the disk or
// with an error that names the step. All pairs are run with DUTFLASH_ALL_FAULTS=1;
// without, one in eight.
func TestFaults(t *testing.T) {
	combinations := [][]fault{}
	for i, a := range faults {
		combinations = append(combinations, []fault{a})
		for j, b := range faults[i+1:] {
			if os.Getenv("DUTFLASH_ALL_FAULTS") != "" || !testing.Short() && (i+j)%8 == 0 {
				combinations = append(combinations, []fault{a, b})
			}
		}
	}
	path, raw := image(t, 8*mib)
	total := &tally{how: map[string]int{}}
	t.Run("all", func(t *testing.T) {
		// Most of a run is waiting, so more run at once than there are CPUs.
		var running sync.WaitGroup
		slots := make(chan struct{}, 8)
		for n, c := range combinations {
			var names []string
			var f flashertest.Faults
			for _, one := range c {
				names = append(names, one.name)
				one.set(&f)
			}
			slots <- struct{}{}
			running.Go(func() {
				t.Run(strings.Join(names, " and "), func(t *testing.T) {
					total.add(flashWith(t, f, uint64(n), path, raw))
				})
				<-slots
			})
		}
		running.Wait()
	})
	t.Logf("%d combinations:", len(combinations))
	for _, how := range slices.SortedFunc(maps.Keys(total.how), func(a, b string) int { return cmp.Compare(total.how[b], total.how[a]) }) {
		t.Logf("%4d %s", total.how[how], how)
	}
}

func flashWith(t *testing.T, f flashertest.Faults, seed uint64, path string, raw []byte) (how string) {
	b, err := flashertest.NewBoard(flashertest.WithFaults(f), flashertest.WithSeed(seed), flashertest.WithBootloader(flashertest.Bootloader{Delay: 1}),
		flashertest.WithLogin(flashertest.Login{Username: "root", Password: "correct horse"}),
		// Something is on the disk already, which a wrong success would leave.
		flashertest.WithDisk(16*mib, leftover()))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	fl := newFlasher(t, b, flasher.WithTimeouts(limits), flasher.WithRetries(1), flasher.WithRetryWait(time.Millisecond))
	res, err := fl.Flash(ctx, path)
	if ctx.Err() != nil {
		t.Errorf("it did not end by itself: %v", err)
	}
	if on, _ := b.State(t.Context()); on {
		t.Error("the board was left on")
	}
	if err == nil {
		sum := sha256.Sum256(raw)
		if got, err := b.Disk().SHA256(int64(len(raw))); err != nil || got != hex.EncodeToString(sum[:]) || res.SHA256 != got {
			t.Errorf("WRONG SUCCESS: the disk holds %s (%v), the result says %s, want %x", got, err, res.SHA256, sum)
		}
		return "success"
	}
	var fe *flasher.Error
	if !errors.As(err, &fe) {
		t.Errorf("an error without type: %v", err)
		return "untyped"
	}
	t.Log(err)
	return fmt.Sprintf("error in step %q", fe.Step)
}

// leftover is what was on the disk before.
func leftover() []byte {
	b := make([]byte, 8*mib)
	rand.NewChaCha8([32]byte{9}).Read(b)
	return b
}
