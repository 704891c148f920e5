package flasher_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power/command"
)

// TestErrorsForStrangers reads errors as somebody does who sees them at night: what
// failed, what the board said, what was tried, what to do. What the session types for
// its own sake is not among the console lines.
func TestErrorsForStrangers(t *testing.T) {
	t.Parallel()
	ours := regexp.MustCompile(`<[a-z]{9}\.[a-z]{9}`)
	for _, tc := range []struct {
		name     string
		faults   flashertest.Faults
		preflash string
		opts     []flasher.Option
		says     []string
	}{
		{name: "write", faults: flashertest.Faults{WriteErrorAt: mib}, says: []string{"flash: write: ", "refuses to be written", "exit status 74", "I/O error, dev mmcblk0, sector 2048", "try another medium"}},
		{name: "write by stream", faults: flashertest.Faults{WriteErrorAt: mib}, opts: []flasher.Option{flasher.WithMethod(flasher.MethodStream)},
			says: []string{"refuses to be written", "attempt 2; before: write: the device refuses to be written", "try another medium"}},
		{name: "read", faults: flashertest.Faults{ReadErrorAt: mib}, says: []string{"cannot be read: 4194304 bytes at offset 0", "try another medium"}},
		{name: "wrong bits", faults: flashertest.Faults{FlipAt: []int64{mib}}, says: []string{"does not hold what was written", "SHA-256 of the device is", "of the image", "worn out, forged"}},
		{name: "network", faults: flashertest.Faults{CutHTTPAfter: 20000, CutHTTPTimes: 1000}, opts: []flasher.Option{flasher.WithRetries(1)},
			says: []string{"cannot fetch the image", "the same in each of 2 attempts", "cable, duplex, firewall"}},
		{name: "preflash", preflash: "blkdiscard /dev/nosuch", says: []string{`command "blkdiscard /dev/nosuch"`, "exit status 1", "can't open", "preflash_commands"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, flashertest.WithDisk(8*mib, nil), flashertest.WithFaults(tc.faults))
			if tc.preflash != "" {
				s.preflash(t, tc.preflash)
			}
			_, err := s.flasher(t, tc.opts...).Flash(t.Context(), imageFile(t, "image.raw", testImage(6*mib)))
			var typed *flasher.Error
			if !errors.As(err, &typed) {
				t.Fatalf("got %v, want a *flasher.Error", err)
			}
			for _, want := range tc.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in\n%v", want, err)
				}
			}
			if ours.MatchString(typed.Tail) {
				t.Errorf("the session's own marks are among the console lines:\n%s", typed.Tail)
			}
		})
	}
}

// TestReasonsOnce: what failed the same way in each attempt is said once.
func TestReasonsOnce(t *testing.T) {
	t.Parallel()
	b := &flashertest.Cable{OpenErr: errors.New("no such port")}
	defer b.Close()
	f, err := flasher.New(b.Open, b, tinyBundle(t), quiet(t, flasher.WithRetries(2))...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.BootloaderShell(t.Context())
	if want := "bootloader shell: console: no such port (the same in each of 3 attempts)"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestNoSuchSwitch: a power command that is not there is not there the next time either.
func TestNoSuchSwitch(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "sh", "a POSIX shell")
	b := &flashertest.Cable{}
	defer b.Close()
	switching, err := command.New(command.Commands{On: "no-such-relay 1", Off: "no-such-relay 0"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := flasher.New(b.Open, switching, tinyBundle(t), quiet(t)...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.BootloaderShell(t.Context())
	var typed *flasher.Error
	if !errors.As(err, &typed) || typed.Step != flasher.StepPower || len(typed.Attempts) != 1 || !strings.Contains(err.Error(), "no-such-relay") {
		t.Errorf("got %v, want an error of the first attempt", err)
	}
}
