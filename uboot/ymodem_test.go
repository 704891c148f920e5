package uboot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/uboot"
)

// TestRealYModem loads files over the serial line of a real build, and ends
// transfers that cannot be completed so that the session goes on.
func TestRealYModem(t *testing.T) {
	b := builds[0]
	ctx, s, _ := live(t, b, t.TempDir())
	data := make([]byte, 20*1024+7)
	rand.NewChaCha8([32]byte{5}).Read(data)
	copy(data, "\x18\x18\x04\x03C\x11\x13\r\n\x00\xff => ") // what might mean something to somebody
	for _, size := range []int{1, len(data)} {
		var last int64
		l, err := s.LoadYModem(ctx, uboot.Upload{Address: b.ram, Content: bytes.NewReader(data[:size]), Size: int64(size),
			Progress: func(sent int64) { last = sent }})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if l.Size != int64(size) || !l.CRCChecked || last != l.Size {
			t.Errorf("%d bytes: %+v, progress %d", size, l, last)
		}
	}

	stopped, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := s.LoadYModem(stopped, uboot.Upload{Address: b.ram, Content: bytes.NewReader(data), Size: int64(len(data)), Progress: func(sent int64) {
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
		says    string
	}{
		{"file that ends early", bytes.NewReader(data[:3000]), 9000, "read the file at 2048 of 9000"},
		{"file that goes on", bytes.NewReader(data), 3000, "more than 3000 bytes"},
		{"size that is not known", bytes.NewReader(data), -1, "sends the size first"},
	} {
		_, err := s.LoadYModem(ctx, uboot.Upload{Address: b.ram, Content: tc.content, Size: tc.size})
		var typed *uboot.Error
		if !errors.Is(err, uboot.ErrSize) || !errors.As(err, &typed) || typed.Op != "ymodem" || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
		answers(t, s)
	}
	if _, err := s.LoadYModem(ctx, uboot.Upload{Address: "40400000; reset", Content: bytes.NewReader(data), Size: 1}); err == nil {
		t.Error("an address with a command was typed")
	}
}
