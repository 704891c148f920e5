package flasher_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// TestLoadAutoRemembers: what worked on a board in one operation comes first in the
// next, and is forgotten when it fails.
func TestLoadAutoRemembers(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, flashertest.WithDisk(8*mib, nil), flashertest.WithBootloader(flashertest.Bootloader{Wget: true, Missing: []string{"loady"}}))
	var log, console syncBuffer
	f := s.flasher(t, flasher.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), flasher.WithTranscript(&console))
	raw := imageFile(t, "image.raw", testImage(mib))
	const (
		fellBack  = "by=tftp next=http"
		noted     = `"This board is loaded by that first from now on" by=http because="by tftp: `
		used      = "Loading first by what worked on this board before"
		forgotten = `does not any more, and is forgotten" by=http because=`
	)
	for _, tc := range []struct {
		name         string
		faults       flashertest.Faults
		says         []string
		saysNot      []string
		tftp         bool // is asked for
		failedBefore int
	}{
		{"TFTP fails", flashertest.Faults{TFTPLoss: 1}, []string{fellBack, noted}, []string{used, forgotten}, true, 0},
		{"TFTP would fail again", flashertest.Faults{TFTPLoss: 1}, []string{used}, []string{fellBack, noted, forgotten}, false, 0},
		{"HTTP is kept while it works", flashertest.Faults{}, []string{used}, []string{forgotten}, false, 0},
		{"HTTP fails", flashertest.Faults{CutHTTPAfter: 1000, CutHTTPTimes: 1}, []string{used, forgotten}, []string{fellBack, noted}, true, 1},
		{"TFTP again", flashertest.Faults{}, nil, []string{used, noted, forgotten}, true, 0},
	} {
		if err := s.SetFaults(tc.faults); err != nil {
			t.Fatal(err)
		}
		logged, printed := len(log.String()), len(console.String())
		res, err := f.Flash(t.Context(), raw)
		if err != nil || len(res.Attempts) != tc.failedBefore {
			t.Fatalf("%s: %v, attempts %v; log:\n%s", tc.name, err, res.Attempts, log.String()[logged:])
		}
		for _, text := range tc.says {
			if !strings.Contains(log.String()[logged:], text) {
				t.Errorf("%s: the log does not say %q:\n%s", tc.name, text, log.String()[logged:])
			}
		}
		for _, text := range tc.saysNot {
			if strings.Contains(log.String()[logged:], text) {
				t.Errorf("%s: the log says %q:\n%s", tc.name, text, log.String()[logged:])
			}
		}
		if asked := strings.Contains(console.String()[printed:], "then tftpboot "); asked != tc.tftp {
			t.Errorf("%s: tftpboot was run: %v, want %v", tc.name, asked, tc.tftp)
		}
	}
}
