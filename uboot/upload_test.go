package uboot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/uboot"
)

// upload is one of a session's methods that send a file over the console.
type upload struct {
	op   string
	load func(*uboot.Session, context.Context, uboot.Upload) (uboot.Loaded, error)
	last int64 // how far a file of 20487 bytes is acknowledged at its end, at most
}

var uploads = []upload{
	{"ymodem", (*uboot.Session).LoadYModem, 0},
	{"xmodem", (*uboot.Session).LoadXModem, 1023},
	{"kermit", (*uboot.Session).LoadKermit, 0},
}

func uploadContent() []byte {
	data := make([]byte, 20*1024+7)
	rand.NewChaCha8([32]byte{5}).Read(data)
	copy(data, "\x18\x18\x04\x03C\x11\x13\r\n\x00\xff => #\x7f~") // what might mean something to somebody
	copy(data[1021:], "\x1a\x1a\x1a")                             // padding to U-Boot's loadx, at the end of a block
	return data
}

// TestRealUploads loads files over the serial line of a real build, and ends
// transfers that cannot be completed so that the session goes on.
func TestRealUploads(t *testing.T) {
	b := builds[0]
	ctx, s, _ := live(t, b, t.TempDir())
	for _, u := range uploads {
		t.Run(u.op, func(t *testing.T) { u.test(ctx, t, s, b) })
	}
}

func (u upload) test(ctx context.Context, t *testing.T, s *uboot.Session, b build) {
	data := uploadContent()
	for _, size := range []int{1, len(data)} {
		var last int64
		l, err := u.load(s, ctx, uboot.Upload{Address: b.ram, Content: bytes.NewReader(data[:size]), Size: int64(size),
			Progress: func(sent int64) { last = sent }})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if l.Size != int64(size) || l.Stored < l.Size || l.Stored > l.Size+u.last || !l.CRCChecked || last != l.Size {
			t.Errorf("%d bytes: %+v, progress %d", size, l, last)
		}
	}

	stopped, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := u.load(s, stopped, uboot.Upload{Address: b.ram, Content: bytes.NewReader(data), Size: int64(len(data)), Progress: func(sent int64) {
		if sent > 5000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	answers(t, s)

	for _, tc := range []struct {
		name    string
		content io.Reader
		size    int64
		baud    int
		is      error
		says    string
	}{
		{"file that ends early", bytes.NewReader(data[:3000]), 9000, 0, uboot.ErrSize, "read the file at "},
		{"file that goes on", bytes.NewReader(data), 3000, 0, uboot.ErrSize, "more than 3000 bytes"},
		{"size that is not known", bytes.NewReader(data), -1, 0, uboot.ErrSize, "needs the size first"},
		{"rate that nobody sets here", bytes.NewReader(data), 1, 230400, uboot.ErrBaudRate, "SetBaud is needed"},
	} {
		_, err := u.load(s, ctx, uboot.Upload{Address: b.ram, Content: tc.content, Size: tc.size, Baud: tc.baud})
		var typed *uboot.Error
		if !errors.Is(err, tc.is) || !errors.As(err, &typed) || typed.Op != u.op || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
		answers(t, s)
	}
	if _, err := u.load(s, ctx, uboot.Upload{Address: "40400000; reset", Content: bytes.NewReader(data), Size: 1}); err == nil {
		t.Error("an address with a command was typed")
	}
}

// switchesBaud loads at another rate and comes back to the one from before. QEMU's
// line carries everything at any rate, so what counts is the order; flashertest's
// line does not.
func switchesBaud(t *testing.T, s *uboot.Session, b build) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	data := uploadContent()
	for _, u := range uploads {
		var rates []int
		l, err := u.load(s, ctx, uboot.Upload{Address: b.ram, Content: bytes.NewReader(data), Size: int64(len(data)), Baud: 230400,
			SetBaud: func(_ context.Context, baud int) error { rates = append(rates, baud); return nil }})
		if err != nil || !l.CRCChecked || !slices.Equal(rates, []int{230400, 115200}) {
			t.Errorf("%s: %+v, rates %v, %v", u.op, l, rates, err)
		}
		answers(t, s)
	}
	stopped, cancelled := context.WithCancel(ctx)
	defer cancelled()
	var rates []int
	_, err := s.LoadYModem(stopped, uboot.Upload{Address: b.ram, Content: bytes.NewReader(data), Size: int64(len(data)), Baud: 230400,
		SetBaud: func(_ context.Context, baud int) error { rates = append(rates, baud); return nil }, Progress: func(int64) { cancelled() }})
	if !errors.Is(err, context.Canceled) || rates[len(rates)-1] != 115200 {
		t.Errorf("cancelled at the higher rate: rates %v, %v", rates, err)
	}
	answers(t, s)
}

// TestRealBaud: U-Boot 2023.01 on the boards whose UART is a 16550. On those with a
// PL011, arm64 and arm, this release prints that it switches, and hangs; 2025.01 does
// not (TestRealWget).
func TestRealBaud(t *testing.T) {
	t.Parallel()
	for _, b := range builds {
		if b.name != "x86_64" && b.name != "riscv64" {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s, err := uboot.New(start(t, b, t.TempDir(), nil))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if err := s.Interrupt(ctx); err != nil {
				t.Fatal(err)
			}
			switchesBaud(t, s, b)
		})
	}
}
