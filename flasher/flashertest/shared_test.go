package flashertest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	transportimage "github.com/dutflash/dutflash/transport/image"
)

// fourBoards are boards on one network, of which there is one port 69.
func fourBoards(tb testing.TB) []*flashertest.Board {
	tb.Helper()
	var boards []*flashertest.Board
	for i := range 4 {
		opts := []flashertest.Option{flashertest.WithSeed(uint64(i + 1))}
		if i > 0 {
			opts = append(opts, flashertest.WithNetworkOf(boards[0]))
		}
		b, err := flashertest.NewBoard(opts...)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { b.Close() })
		boards = append(boards, b)
	}
	return boards
}

// TestFourBoards flashes four boards at once through one pair of servers, from one
// image that is prepared once.
func TestFourBoards(t *testing.T) {
	t.Parallel()
	path, raw := image(t, 24*mib)
	boards := fourBoards(t)
	// One of them is reset in the middle, which must not disturb the others.
	if err := boards[2].SetFaults(flashertest.Faults{ResetAtWritten: 5 * mib}); err != nil {
		t.Fatal(err)
	}
	servers, err := flasher.NewServers(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	src, err := transportimage.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := transportimage.Prepare(t.Context(), src, transportimage.WithCacheDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	var wg sync.WaitGroup
	for i, b := range boards {
		wg.Go(func() {
			f := newFlasher(t, b, flasher.WithServers(servers), flasher.WithRetryWait(time.Millisecond))
			res, err := f.FlashPrepared(t.Context(), prepared)
			if err != nil {
				t.Errorf("board %d: %v", i, err)
				return
			}
			want, err := b.Disk().SHA256(int64(len(raw)))
			if err != nil || res.SHA256 != want || want != prepared.SHA256() {
				t.Errorf("board %d: proved %s, on the disk is %s (%v)", i, res.SHA256, want, err)
			}
			if wantBoard := fmt.Sprintf("192.0.2.%d", 15+i); res.Board != wantBoard {
				t.Errorf("board %d has the address %s, want %s", i, res.Board, wantBoard)
			}
			if failed := len(res.Attempts); (failed > 0) != (i == 2) {
				t.Errorf("board %d: %d attempts failed", i, failed)
			}
		})
	}
	wg.Wait()
	// The port is held between operations, and given up by Close.
	if _, err := newFlasher(t, boards[0]).FlashPrepared(t.Context(), prepared); err == nil || !strings.Contains(err.Error(), "69") {
		t.Errorf("without the servers: %v, want an error about port 69", err)
	}
	if err := errors.Join(servers.Close(), servers.Close()); err != nil {
		t.Fatal(err)
	}
	conn, err := boards[0].Network().ListenPacket(t.Context(), "udp", ":69")
	if err != nil {
		t.Fatalf("the port is still held: %v", err)
	}
	conn.Close()
	var typed *flasher.Error
	_, err = newFlasher(t, boards[0], flasher.WithServers(servers)).FlashPrepared(t.Context(), prepared)
	if !errors.As(err, &typed) || typed.Step != flasher.StepServe || !errors.Is(err, net.ErrClosed) {
		t.Errorf("with closed servers: %v, want net.ErrClosed of step %q", err, flasher.StepServe)
	}
}

// TestSharedServersCancelled: an operation that is cancelled takes nothing of the
// others with it and leaves nothing of its own.
func TestSharedServersCancelled(t *testing.T) {
	t.Parallel()
	path, _ := image(t, 24*mib)
	boards := fourBoards(t)[:2]
	servers, err := flasher.NewServers(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		f := newFlasher(t, boards[0], flasher.WithServers(servers), flasher.WithProgress(func(ev flasher.Event) {
			if ev.Step == flasher.StepWrite {
				cancel()
			}
		}))
		if _, err := f.Flash(ctx, path); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	wg.Go(func() {
		if _, err := newFlasher(t, boards[1], flasher.WithServers(servers)).Flash(t.Context(), path); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	if _, err := newFlasher(t, boards[0], flasher.WithServers(servers)).Flash(t.Context(), path); err != nil {
		t.Errorf("after the cancelled flash: %v", err)
	}
}

// valueNetwork is a Network that cannot be compared.
type valueNetwork struct {
	*flashertest.Network
	_ [0]func() // functions cannot be compared
}

func TestServersRefused(t *testing.T) {
	servers, err := flasher.NewServers(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	b := fourBoards(t)[0]
	for name, opts := range map[string][]flasher.Option{
		"nil":            {flasher.WithServers(nil)},
		"not comparable": {flasher.WithServers(servers), flasher.WithNetwork(valueNetwork{Network: b.Network()})},
	} {
		if _, err := flasher.New(b.Open, b, "bundle", opts...); !errors.Is(err, flasher.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}
