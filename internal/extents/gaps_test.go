package extents_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/internal/testtool"
)

// pieces cuts an image at offsets and lengths that no whole MiB divides, as a
// block map does, with gaps between.
func pieces(image []byte) []extents.Chunk {
	var chunks []extents.Chunk
	for _, p := range [][2]int{
		{0, 4096}, {8192, mib - 8192}, {mib, mib}, {2*mib + 4096, 5 * mib}, {7*mib + 4096, 3*mib + 512},
		{12 * mib, mib}, {13*mib + 512, 1024}, {15 * mib, len(image) - 15*mib},
	} {
		b := image[p[0] : p[0]+p[1]]
		chunks = append(chunks, extents.Chunk{
			Offset: int64(p[0]), Size: int64(p[1]), SHA256: sha256.Sum256(b), Zero: len(bytes.Trim(b, "\x00")) == 0,
		})
	}
	return chunks
}

// manyPieces cuts an image into small pieces of several sizes, most of which lie
// alone; the last is no whole sectors.
func manyPieces(image []byte) []extents.Chunk {
	var chunks []extents.Chunk
	for i, at := 0, 4096; at < len(image); i++ {
		size := min([]int{4096, 512, 12288, 1536, 69632, 8192}[i%6], len(image)-at)
		b := image[at : at+size]
		chunks = append(chunks, extents.Chunk{
			Offset: int64(at), Size: int64(size), SHA256: sha256.Sum256(b), Zero: len(bytes.Trim(b, "\x00")) == 0,
		})
		at += size + []int{0, 4096, 512, 65536, 0}[i%5]
	}
	return chunks
}

// TestScriptLeavesGaps runs the script on a disk of other data, on a busybox with
// and on one without byte positions in dd.
func TestScriptLeavesGaps(t *testing.T) {
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	image := noise(16*mib+777, mib, func(i int) bool { return i != 12 })
	t.Run("few", func(t *testing.T) { scriptLeavesGaps(t, busybox, image, pieces(image)) })
	small := noise(6*mib+777, 64<<10, func(i int) bool { return i%7 < 5 })
	t.Run("many", func(t *testing.T) { scriptLeavesGaps(t, busybox, small, manyPieces(small)) })
}

func scriptLeavesGaps(t *testing.T, busybox string, image []byte, chunks []extents.Chunk) {
	before := bytes.Repeat([]byte{0xa5}, 20*mib)
	want := bytes.Clone(before)
	var total int64
	for _, c := range chunks {
		copy(want[c.Offset:], image[c.Offset:c.Offset+c.Size])
		total += c.Size
	}
	blocks := [2]string{"iflag=skip_bytes,count_bytes oflag=seek_bytes", "iflag=unknown"}
	for _, tc := range []struct {
		name    string
		replace [2]string // in the script
		scratch string
	}{
		{name: "bytes"},
		{name: "blocks", replace: blocks},
		{name: "bytes, by a file in memory", scratch: memoryDir(t)},
		{name: "blocks, by a file in memory", replace: blocks, scratch: memoryDir(t)},
		{name: "no room in memory", replace: [2]string{`>"$1.odd"`, ">/dev/full"}, scratch: memoryDir(t)},
		{name: "a directory that is not in memory", scratch: "/proc/sys"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := string(extents.Script())
			if tc.replace[0] != "" {
				if !strings.Contains(script, tc.replace[0]) {
					t.Fatalf("no %q in the script", tc.replace[0])
				}
				script = strings.Replace(script, tc.replace[0], tc.replace[1], 1)
			}
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, before, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, written := range []int64{total, 0} { // the second time it is all there
				p, err := extents.New(extents.Config{Chunks: chunks, Image: bytes.NewReader(image)})
				if err != nil {
					t.Fatal(err)
				}
				runScript(t, busybox, script, p, disk, tc.scratch, "reader", "writer")
				if left, err := os.ReadDir(tc.scratch); tc.scratch != "/proc/sys" && tc.scratch != "" && (err != nil || len(left) > 0) {
					t.Errorf("left in memory: %v, %v", left, err)
				}
				if s := p.Stats(); p.Err() != nil || s.Total != total || s.Proved != total || s.Written != written {
					t.Errorf("%+v, %v; want %d written and %d proved", s, p.Err(), written, total)
				}
				if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, want) {
					t.Errorf("the disk is not what it was with the pieces in it (%v)", err)
				}
			}
		})
	}
}

// memoryDir returns a directory in memory, with what a killed script left there.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dutflash-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "dutflash-extents.abcdef"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNewRefuses(t *testing.T) {
	for name, chunks := range map[string][]extents.Chunk{
		"none":       nil,
		"overlap":    {{Offset: 0, Size: 1024}, {Offset: 512, Size: 512}},
		"odd offset": {{Offset: 100, Size: 512}},
		"empty":      {{Offset: 0, Size: 0}},
		"backwards":  {{Offset: 1024, Size: 512}, {Offset: 0, Size: 512}},
	} {
		if _, err := extents.New(extents.Config{Chunks: chunks}); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
