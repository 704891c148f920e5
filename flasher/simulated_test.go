package flasher_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// simulated is a simulated board with what a test wants to look at afterwards.
type simulated struct {
	*flashertest.Board
	bundle, cache string
}

// newSimulated makes one. Its console is in the log of a test that fails.
func newSimulated(t *testing.T, opts ...flashertest.Option) *simulated {
	t.Helper()
	b, err := flashertest.NewBoard(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	s := &simulated{Board: b, bundle: t.TempDir(), cache: t.TempDir()}
	if err := b.WriteBundle(s.bundle); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *simulated) flasher(t *testing.T, opts ...flasher.Option) *flasher.Flasher {
	t.Helper()
	var transcript syncBuffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console of the simulated board:\n%s", transcript.String())
		}
	})
	f, err := flasher.New(s.Open, s, s.bundle, append([]flasher.Option{flasher.WithNetwork(s.Network()), flasher.WithCacheDir(s.cache),
		flasher.WithTranscript(&transcript), flasher.WithCycleWait(10 * time.Millisecond), flasher.WithRetryWait(time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// content returns the digest of the first n bytes of the disk.
func (s *simulated) content(t *testing.T, n int) string {
	t.Helper()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(s.Disk(), 0, int64(n))); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (s *simulated) isOff(t *testing.T) {
	t.Helper()
	if on, err := s.State(t.Context()); on || err != nil {
		t.Errorf("the board is on: %v, %v; want it off", on, err)
	}
}

// TestDiskErrorsOfStream: a whole-image method spends one retry on a sector that
// refuses to be written, to see it at the same place twice.
func TestDiskErrorsOfStream(t *testing.T) {
	t.Parallel()
	raw := testImage(6 * mib)
	for _, tc := range []struct {
		name   string
		faults flashertest.Faults
		text   string
		tries  int
	}{
		{"write", flashertest.Faults{WriteErrorAt: 3 * mib}, "refuses to be written", 2},
		{"read", flashertest.Faults{ReadErrorAt: 3 * mib}, "the device cannot be read: 4194304 bytes at offset 0, twice", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSimulated(t, flashertest.WithFaults(tc.faults), flashertest.WithDisk(8*mib, nil))
			_, err := s.flasher(t, flasher.WithMethod(flasher.MethodStream)).Flash(t.Context(), imageFile(t, "image.raw", raw))
			var typed *flasher.Error
			if !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("got %v, want a *flasher.Error that says %q", err, tc.text)
			}
			if len(typed.Attempts) != tc.tries {
				t.Errorf("%d attempts, want %d", len(typed.Attempts), tc.tries)
			}
			s.isOff(t)
			t.Log(err)
		})
	}
}

// TestDumpEnds: the caller cancels a dump, and the writer of another fails.
func TestDumpEnds(t *testing.T) {
	t.Parallel()
	disk := testImage(16 * mib)
	s := newSimulated(t, flashertest.WithDisk(16*mib, disk))
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var out bytes.Buffer
		res, err := s.flasher(t).Dump(ctx, "", writerFunc(func(b []byte) (int, error) {
			cancel() // at the first piece
			return out.Write(b)
		}))
		var typed *flasher.Error
		if !errors.As(err, &typed) || !errors.Is(err, context.Canceled) || typed.Step != flasher.StepDump || typed.Op != "dump" {
			t.Errorf("got %v, want a *flasher.Error that wraps context.Canceled", err)
		}
		if res.Bytes != int64(out.Len()) || !bytes.HasPrefix(disk, out.Bytes()) || res.SHA256 != sha256Hex(out.Bytes()) {
			t.Errorf("%d bytes were saved, the result says %+v", out.Len(), res)
		}
		s.isOff(t)
	})
	t.Run("writer fails", func(t *testing.T) {
		res, err := s.flasher(t).Dump(t.Context(), "", &fullWriter{left: 9 * mib})
		if !errors.Is(err, flasher.ErrDumpWriter) || !errors.Is(err, errFull) || len(res.Attempts) != 1 || res.Bytes != 9*mib {
			t.Errorf("got %v, %+v; want ErrDumpWriter after one attempt and 9 MiB", err, res)
		}
		s.isOff(t)
	})
	if got := s.content(t, len(disk)); got != sha256Hex(disk) {
		t.Error("the disk was written to")
	}
}

// writerFunc is a function as an [io.Writer].
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

var errFull = errors.New("no space left")

// fullWriter is a file on a disk that fills up.
type fullWriter struct{ left int }

func (w *fullWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.left)
	w.left -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}
