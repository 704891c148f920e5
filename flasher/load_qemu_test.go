package flasher_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// rated is a console whose rate can be set, and that writes down what was set. The rate
// of QEMU's line has no effect on it: U-Boot and we have to agree when to switch, and
// both set it, but a wrong rate would garble nothing.
type rated struct {
	io.ReadWriteCloser
	mu    *sync.Mutex
	rates *[]int
}

func (r rated) SetBaudRate(_ context.Context, baud int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.rates = append(*r.rates, baud)
	return nil
}

// TestRealKernelOnTheBoard: kernel and initramfs are on the board, in QEMU's
// firmware device, from where the boot command takes them by qfw. What is left to
// load, the DTB, goes over the serial line: by Kermit, and by YMODEM at a higher rate,
// for which it takes a U-Boot newer than 2023.01, which hangs when its PL011 switches.
func TestRealKernelOnTheBoard(t *testing.T) {
	t.Parallel()
	scratch := newRig(t, virtboard.ARM64, mib)
	dtb := filepath.Join(t.TempDir(), "board.dtb")
	if err := scratch.board.DumpDTB(t.Context(), dtb); err != nil {
		t.Fatal(err)
	}
	dir := bundleDir(t, virtboard.ARM64, debian.Bundle{DTB: dtb})
	onBoard := t.TempDir()
	for _, name := range []string{"kernel", "initramfs"} {
		if err := os.Rename(filepath.Join(dir, "data", name), filepath.Join(onBoard, name)); err != nil {
			t.Fatal(err)
		}
	}
	manifest := filepath.Join(dir, "manifest.yaml")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	at := debian.LoadAddresses(virtboard.ARM64)
	changed := regexp.MustCompile(`(?s)\n  kernel:.*\n  dtb:`).ReplaceAllString(string(text), "\n  dtb:")
	changed = strings.Replace(changed, `bootcmd: "`, `bootcmd: "qfw load `+at.Kernel+" "+at.Initramfs+"; ", 1)
	if err := os.WriteFile(manifest, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		by    flasher.LoadMethod
		uBoot string
		opts  []flasher.Option
		says  []string // on the console
		rates []int
	}{
		{flasher.LoadKermit, "", nil, []string{"loadb 0x"}, nil},
		{flasher.LoadYModem, testtool.WgetUBoot(t), []flasher.Option{flasher.WithLoadBaud(1500000)},
			[]string{"loady 0x", "## Switch baudrate to 1500000 bps and press ENTER", "## Switch baudrate to 115200 bps and press ESC"}, []int{1500000, 115200}},
	} {
		t.Run(string(tc.by), func(t *testing.T) {
			t.Parallel()
			r := newRigWith(t, 16*mib, virtboard.Config{Arch: virtboard.ARM64, UBoot: tc.uBoot,
				QEMUArgs: []string{"-kernel", filepath.Join(onBoard, "kernel"), "-initrd", filepath.Join(onBoard, "initramfs")}})
			var mu sync.Mutex
			var rates []int
			open := func(ctx context.Context) (io.ReadWriteCloser, error) {
				c, err := r.open(ctx)
				return rated{c, &mu, &rates}, err
			}
			var log syncBuffer
			raw := testImage(2*mib + 77)
			f, err := flasher.New(open, r.board, dir, append(tc.opts, flasher.WithNetwork(r.board.Network()), flasher.WithCacheDir(r.cache), flasher.WithTranscript(&r.console),
				flasher.WithCycleWait(10*time.Millisecond), flasher.WithLoad(tc.by), flasher.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))...)
			if err != nil {
				t.Fatal(err)
			}
			res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
			if err != nil {
				t.Fatal(err)
			}
			r.holds(t, raw)
			r.isOff(t)
			if res.SHA256 != sha256Hex(raw) || res.Board == "" || len(res.Attempts) > 0 {
				t.Errorf("result %+v", res)
			}
			if !slices.Equal(rates, tc.rates) {
				t.Errorf("our side was set to %d baud, want %d", rates, tc.rates)
			}
			console := r.console.String()
			for _, says := range tc.says {
				if !strings.Contains(console, says) {
					t.Errorf("the console does not say %q", says)
				}
			}
			if !strings.Contains(log.String(), "Loading into RAM over the console") || strings.Contains(console, "tftpboot") || strings.Contains(console, "BOOTP") {
				t.Errorf("U-Boot used its network; log:\n%s", log.String())
			}
		})
	}
}

// TestRealLoadByHTTP: a U-Boot with wget loads all 30 MB by it.
func TestRealLoadByHTTP(t *testing.T) {
	t.Parallel()
	image := testtool.WgetUBoot(t)
	r := newRigWith(t, 16*mib, virtboard.Config{Arch: virtboard.ARM64, UBoot: image})
	raw := testImage(2*mib + 77)
	res, err := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{}), flasher.WithLoad(flasher.LoadHTTP)).
		Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil {
		t.Fatal(err)
	}
	r.holds(t, raw)
	r.isOff(t)
	if console := r.console.String(); res.SHA256 != sha256Hex(raw) || strings.Contains(console, "tftpboot") || !strings.Contains(console, "Transfer Successful") {
		t.Errorf("result %+v", res)
	}
}
