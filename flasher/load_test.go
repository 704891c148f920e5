package flasher_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/transport/tftp"
	"github.com/dutflash/dutflash/uboot"
)

// TestLoadByHTTP: a U-Boot that has wget needs no TFTP. A port that is taken is of no
// matter then. TestLoadAutoRemembers has what becomes of TFTP that does not work.
func TestLoadByHTTP(t *testing.T) {
	t.Parallel()
	raw := testImage(2 * mib)
	s := newSimulated(t, flashertest.WithBootloader(flashertest.Bootloader{Wget: true, Missing: []string{"loady"}}))
	conn, err := s.Network().ListenPacket(t.Context(), "udp", ":69")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var log syncBuffer
	res, err := s.flasher(t, flasher.WithLoad(flasher.LoadHTTP), flasher.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil || res.SHA256 != sha256Hex(raw) || len(res.Attempts) > 0 || !strings.Contains(log.String(), "Loading into RAM by wget") {
		t.Errorf("%v; proved %s; attempts %v; log:\n%s", err, res.SHA256, res.Attempts, log.String())
	}
}

// TestLoadOverTheConsole: a board whose U-Boot has no network is flashed, by what
// its Linux has.
func TestLoadOverTheConsole(t *testing.T) {
	t.Parallel()
	raw := testImage(2 * mib)
	for _, tc := range []struct {
		name   string
		board  []flashertest.Option
		option flasher.LoadMethod
		says   string // in the log
	}{
		{"asked for", nil, flasher.LoadYModem, "U-Boot gets no address"},
		{"by XMODEM", nil, flasher.LoadXModem, "by=xmodem"},
		{"no network in U-Boot", []flashertest.Option{flashertest.WithFaults(flashertest.Faults{NoEthernet: true})}, flasher.LoadAuto, "U-Boot has no network"},
		{"no dhcp command", []flashertest.Option{flashertest.WithBootloader(flashertest.Bootloader{Missing: []string{"dhcp"}})}, flasher.LoadAuto, "U-Boot has no network"},
		{"no tftpboot command", []flashertest.Option{flashertest.WithBootloader(flashertest.Bootloader{Missing: []string{"tftpboot"}})}, flasher.LoadAuto, "by=tftp next=http"},
		{"no TFTP packet arrives", []flashertest.Option{flashertest.WithFaults(flashertest.Faults{TFTPLoss: 1})}, flasher.LoadAuto, "by=tftp next=http"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, append(tc.board, flashertest.WithDisk(8*mib, nil))...)
			var log syncBuffer
			var loaded int64
			res, err := s.flasher(t, flasher.WithLoad(tc.option), flasher.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
				flasher.WithProgress(func(ev flasher.Event) {
					if ev.Step == flasher.StepLoad {
						loaded = max(loaded, ev.Done)
					}
				})).Flash(t.Context(), imageFile(t, "image.raw", raw))
			if err != nil {
				t.Fatalf("%v\nlog:\n%s", err, log.String())
			}
			if res.SHA256 != sha256Hex(raw) || s.content(t, len(raw)) != res.SHA256 {
				t.Errorf("proved %s, want %s", res.SHA256, sha256Hex(raw))
			}
			if len(res.Attempts) > 0 {
				t.Errorf("attempts %v, want none: the way is changed within one", res.Attempts)
			}
			if res.Board == "" {
				t.Error("the result has no address of the board")
			}
			if !strings.Contains(log.String(), tc.says) || loaded == 0 {
				t.Errorf("%d bytes in progress events; the log does not say %q:\n%s", loaded, tc.says, log.String())
			}
		})
	}
}

// TestLoadBaud: the files go over the line at a higher rate, and everything else
// at the one from before.
func TestLoadBaud(t *testing.T) {
	t.Parallel()
	for _, by := range []flasher.LoadMethod{flasher.LoadYModem, flasher.LoadXModem} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, flashertest.WithDisk(8*mib, nil))
			var transcript syncBuffer
			raw := testImage(mib)
			res, err := s.flasher(t, flasher.WithLoad(by), flasher.WithLoadBaud(1500000), flasher.WithTranscript(&transcript)).Flash(t.Context(), imageFile(t, "image.raw", raw))
			if err != nil {
				t.Fatalf("%v\n%s", err, transcript.String())
			}
			for _, says := range []string{"to 1500000 bps and press ENTER", "at 1500000 bps...", "to 115200 bps and press ESC"} {
				if n := strings.Count(transcript.String(), says); n != 3 || res.SHA256 != sha256Hex(raw) {
					t.Errorf("the console says %q %d times, want one for each file", says, n)
				}
			}
		})
	}
}

// TestLoadBaudRefused: an adapter that does not know the rate costs one attempt.
func TestLoadBaudRefused(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, flashertest.WithDisk(8*mib, nil))
	open := func(ctx context.Context) (io.ReadWriteCloser, error) {
		p, err := s.Open(ctx)
		return oneRate{p}, err
	}
	f, err := flasher.New(open, s, s.bundle, flasher.WithLoad(flasher.LoadYModem), flasher.WithLoadBaud(1500000), flasher.WithCacheDir(s.cache),
		flasher.WithNetwork(s.Network()), flasher.WithCycleWait(10*time.Millisecond), flasher.WithRetryWait(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	raw := testImage(mib)
	res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil || len(res.Attempts) != 1 || !errors.Is(res.Attempts[0].Err, uboot.ErrBaudRate) || !strings.Contains(res.Attempts[0].Err.Error(), "reset the board") {
		t.Errorf("%v; attempts %v, want one that could not switch the rate", err, res.Attempts)
	}
}

// oneRate is a console with a rate that it does not leave.
type oneRate struct{ io.ReadWriteCloser }

func (oneRate) SetBaudRate(_ context.Context, baud int) error {
	if baud != 115200 {
		return errors.New("the adapter does not know this rate")
	}
	return nil
}

// TestLoadBaudNeedsARate: a console whose rate is not ours to set is refused before
// the board is touched.
func TestLoadBaudNeedsARate(t *testing.T) {
	t.Parallel()
	s := newSimulated(t)
	open := func(ctx context.Context) (io.ReadWriteCloser, error) {
		p, err := s.Open(ctx)
		return struct{ io.ReadWriteCloser }{p}, err
	}
	f, err := flasher.New(open, untouched{t}, s.bundle, flasher.WithLoad(flasher.LoadYModem), flasher.WithLoadBaud(1500000))
	if err != nil {
		t.Fatal(err)
	}
	var typed *flasher.Error
	if _, err := f.Flash(t.Context(), imageFile(t, "image.raw", testImage(mib))); !errors.Is(err, flasher.ErrConfig) || !errors.As(err, &typed) || typed.Step != flasher.StepConsole {
		t.Errorf("got %v, want ErrConfig when the console is opened", err)
	}
}

// untouched is a power switch that nobody may use.
type untouched struct{ t *testing.T }

func (u untouched) On(context.Context) error {
	u.t.Error("switched on")
	return nil
}

func (u untouched) Off(context.Context) error {
	u.t.Error("switched off")
	return nil
}

// TestLoadRefused: what was asked for cannot be had.
func TestLoadRefused(t *testing.T) {
	t.Parallel()
	noNetwork := flashertest.WithFaults(flashertest.Faults{NoEthernet: true})
	for _, tc := range []struct {
		name  string
		board []flashertest.Option
		opts  []flasher.Option
		big   bool
		want  error
		step  flasher.Step
		says  string
	}{
		{"TFTP only, no network", []flashertest.Option{noNetwork}, []flasher.Option{flasher.WithLoad(flasher.LoadTFTP)}, false, uboot.ErrNoEthernet, flasher.StepNetwork, "dhcp"},
		{"too much for the console", []flashertest.Option{noNetwork}, nil, true, uboot.ErrNoEthernet, flasher.StepNetwork, "dhcp"},
		{"no way at all", []flashertest.Option{flashertest.WithBootloader(flashertest.Bootloader{Missing: []string{"tftpboot", "loady"}})}, nil, false,
			uboot.ErrUnknownCommand, flasher.StepLoad, "by ymodem"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, tc.board...)
			if tc.big {
				kernel := filepath.Join(s.bundle, "data", "kernel")
				content, err := os.ReadFile(kernel)
				if err = errors.Join(err, os.WriteFile(kernel, append(content, make([]byte, 2*mib)...), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := s.flasher(t, append(tc.opts, flasher.WithRetries(0))...).Flash(t.Context(), imageFile(t, "image.raw", testImage(mib)))
			var typed *flasher.Error
			if !errors.As(err, &typed) || typed.Step != tc.step || !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v\nwant step %s, %v, and %q in the text", err, tc.step, tc.want, tc.says)
			}
			s.isOff(t)
		})
	}
}

// TestLoadOptions are refused before anything is touched.
func TestLoadOptions(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]flasher.Option{
		{flasher.WithLoad("floppy")},
		{flasher.WithLoad(flasher.LoadYModem), flasher.WithTFTPDir(t.TempDir())},
		{flasher.WithLoad(flasher.LoadTFTP), flasher.WithLoadBaud(230400)},
		{flasher.WithLoadBaud(20_000_000)},
		{flasher.WithTFTPServer(anAddress, "x; reset")},
		{flasher.WithTFTPServer(noAddress, "")},
		{flasher.WithLoad(flasher.LoadHTTP), flasher.WithTFTPServer(anAddress, "")},
	} {
		s := newSimulated(t)
		_, err := flasher.New(s.Open, s, s.bundle, opts...)
		if !errors.Is(err, flasher.ErrConfig) {
			t.Errorf("got %v, want ErrConfig", err)
		}
	}
}

var (
	anAddress = netip.MustParseAddr("192.0.2.1")
	noAddress netip.Addr
)

// TestLoadFromAnotherServer: the files are on a TFTP server that is not the
// Flasher's, and are compared with the bundle's.
func TestLoadFromAnotherServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(name string, content []byte) []byte // of what is on the server
		want   error
	}{
		{"the bundle's files", func(_ string, c []byte) []byte { return c }, nil},
		{"one of another size", func(name string, c []byte) []byte {
			if name == "initramfs" {
				return append(c, 0)
			}
			return c
		}, uboot.ErrSize},
		{"one of another release", func(name string, c []byte) []byte {
			if name == "kernel" {
				c[len(c)-1] ^= 1
			}
			return c
		}, uboot.ErrCRC},
		{"one missing", func(name string, c []byte) []byte {
			if name == "board.dtb" {
				return nil
			}
			return c
		}, uboot.ErrTFTP},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, flashertest.WithDisk(8*mib, nil))
			server, err := tftp.New()
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"kernel", "initramfs", "board.dtb"} {
				content, err := os.ReadFile(filepath.Join(s.bundle, "data", name))
				if err != nil {
					t.Fatal(err)
				}
				if content = tc.change(name, content); content == nil {
					continue
				}
				if err := server.Add("lab/"+name, tftp.FromBytes(content)); err != nil {
					t.Fatal(err)
				}
			}
			conn, err := s.Network().ListenPacket(t.Context(), "udp", ":69")
			if err != nil {
				t.Fatal(err)
			}
			var served sync.WaitGroup
			served.Go(func() { server.Serve(conn) })
			defer served.Wait()
			defer server.Close()
			raw := testImage(mib)
			res, err := s.flasher(t, flasher.WithTFTPServer(s.Network().Address(), "lab/"), flasher.WithRetries(0)).Flash(t.Context(), imageFile(t, "image.raw", raw))
			var typed *flasher.Error
			switch {
			case tc.want == nil && (err != nil || res.SHA256 != sha256Hex(raw)):
				t.Errorf("%v, proved %s", err, res.SHA256)
			case tc.want != nil && (!errors.Is(err, tc.want) || !errors.As(err, &typed) || typed.Step != flasher.StepLoad):
				t.Errorf("got %v, want %v in step load", err, tc.want)
			}
			if tc.want == nil && server.Stats().Done != 3 {
				t.Errorf("the other server served %d files, want 3", server.Stats().Done)
			}
			s.isOff(t)
		})
	}
}
