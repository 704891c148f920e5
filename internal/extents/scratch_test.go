package extents_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/internal/testtool"
)

// TestFilesInMemory: what is digested goes through files that are kept, and what was in
// them is never taken for what the device has: this one ends too early, where chunks
// would follow that are the same as those before.
func TestFilesInMemory(t *testing.T) {
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	image := bytes.Repeat(noise(4*mib, 4*mib, func(int) bool { return true }), 6)
	for _, tc := range []struct{ name, in, script string }{
		{"as it is", "", ""},
		{"no room for the usual size", `1<>"$1"`, "1<>/dev/full"},
		{"no turns", `mkfifo "$dir/turn"`, "false"},
		{"a turn that is lost", "-t 60 _ 2>/dev/null <&8; }\n\tpass_turn() { echo >&8; }\n\tpass_turn", "-t 1 _ 2>/dev/null <&8; }\n\tpass_turn() { echo >&8; }"},
		{"no room at all", `mktemp -d "$scratch`, `mktemp -d "$scratch/nowhere`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := string(extents.Script())
			if !strings.Contains(script, tc.in) {
				t.Fatalf("no %q in the script", tc.in)
			}
			script = strings.Replace(script, tc.in, tc.script, 1)
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, image[:12*mib], 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := extents.New(extents.Config{Chunks: chunksOf(image, 4*mib), Image: bytes.NewReader(image)})
			if err != nil {
				t.Fatal(err)
			}
			scratch := memoryDir(t)
			runScript(t, busybox, script, p, disk, scratch, "writer", "reader1", "reader2", "reader3")
			if s := p.Stats(); p.Err() != nil || s.Unchanged != 12*mib || s.Written != 12*mib || s.Proved != s.Total {
				t.Errorf("%+v, %v; want half of it written and all of it proved", s, p.Err())
			}
			if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
				t.Errorf("left in memory: %v, %v", left, err)
			}
			if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, image) {
				t.Errorf("the disk does not hold the image (%v)", err)
			}
		})
	}
}
