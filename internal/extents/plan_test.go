package extents_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/internal/testtool"
)

const mib = 1 << 20

// chunksOf cuts an image as transport/image does.
func chunksOf(image []byte, size int) []extents.Chunk {
	var chunks []extents.Chunk
	for off := 0; off < len(image); off += size {
		b := image[off:min(off+size, len(image))]
		chunks = append(chunks, extents.Chunk{
			Offset: int64(off), Size: int64(len(b)), SHA256: sha256.Sum256(b),
			Zero: len(bytes.Trim(b, "\x00")) == 0,
		})
	}
	return chunks
}

// noise returns an image with data in the chunks for which has is true.
func noise(n, chunk int, has func(i int) bool) []byte {
	image := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	for off := 0; off < n; off += chunk {
		if has(off / chunk) {
			r.Read(image[off:min(off+chunk, n)])
		}
	}
	return image
}

// TestPlanWritesWhatCannotBeRead: a bad sector that writing mends does not end the
// plan, even where the rest of the image is there.
func TestPlanWritesWhatCannotBeRead(t *testing.T) {
	image := noise(16*mib, mib, func(int) bool { return true })
	p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image)})
	if err != nil {
		t.Fatal(err)
	}
	m := &medium{disk: bytes.Clone(image), image: image}
	m.bad.Store(5*mib + 3)
	if err := m.run(t, p); err != nil {
		t.Fatal(err)
	}
	if s := p.Stats(); s.Proved != int64(len(image)) || s.Written == 0 || m.bad.Load() != 0 {
		t.Errorf("%+v, want all proved and the bad place written", s)
	}
}

func TestPlanWritesOnlyWhatDiffers(t *testing.T) {
	const chunk = mib
	even := func(i int) bool { return i%2 == 0 }
	image := noise(40*mib+12345, chunk, even)
	half := func() []byte { // the first half is right already
		d := make([]byte, 64*mib)
		copy(d, image[:20*mib])
		return d
	}
	changed := func() []byte { // two chunks were changed
		d := make([]byte, 64*mib)
		copy(d, image)
		d[4*mib+1]++
		d[7*mib+1]++
		return d
	}
	dirty := func() []byte { return bytes.Repeat([]byte{0xa5}, 64*mib) }
	for _, tc := range []struct {
		name    string
		disk    []byte
		config  extents.Config
		written int64
	}{
		{"blank", make([]byte, 64*mib), extents.Config{}, 20*mib + 12345},
		{"dirty", dirty(), extents.Config{}, 40*mib + 12345},
		{"half there", half(), extents.Config{}, 10*mib + 12345},
		{"identical", append(bytes.Clone(image), make([]byte, mib)...), extents.Config{}, 0},
		{"two chunks changed", changed(), extents.Config{}, 2 * mib},
		{"told to write all", changed(), extents.Config{WriteAll: true}, 40*mib + 12345},
		{"not read back", dirty(), extents.Config{Verify: extents.VerifyNone}, 40*mib + 12345},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.config.Chunks, tc.config.Image = chunksOf(image, chunk), bytes.NewReader(image)
			p, err := extents.New(tc.config)
			if err != nil {
				t.Fatal(err)
			}
			m := &medium{disk: tc.disk, image: image}
			if err := m.run(t, p); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(m.disk[:len(image)], image) {
				t.Error("the disk does not hold the image")
			}
			s := p.Stats()
			if s.Written != tc.written {
				t.Errorf("written %d bytes, want %d", s.Written, tc.written)
			}
			if tc.config.Verify == extents.VerifyFull && s.Proved != int64(len(image)) {
				t.Errorf("proved %d of %d bytes", s.Proved, len(image))
			}
		})
	}
}

// TestPlanOfWhatWasWritten: what another way wrote is read back, and only what is wrong is
// written.
func TestPlanOfWhatWasWritten(t *testing.T) {
	image := noise(24*mib+512, mib, func(i int) bool { return i%3 > 0 })
	disk := bytes.Clone(image)
	disk[7*mib+1]++
	disk[9*mib+1]++ // which is to be zero
	p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image), Written: true})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Written() {
		t.Error("the first phase is not over")
	}
	m := &medium{disk: disk, image: image}
	if !p.ReadBack() {
		t.Fatal("there is nothing to read back")
	}
	m.phase(t, p)
	if s := p.Stats(); p.Err() != nil || s.Proved != s.Total || s.Written != 2*mib || s.Zeroed != mib || !bytes.Equal(disk, image) {
		t.Errorf("%+v, %v", s, p.Err())
	}
}

func TestPlanFaults(t *testing.T) {
	image := noise(24*mib, mib, func(int) bool { return true })
	for _, tc := range []struct {
		name  string
		fault func(times int, b []byte) int
		want  error
	}{
		{"one bit is flipped once", func(n int, b []byte) int {
			if n == 1 {
				b[0] ^= 1
			}
			return 0
		}, nil},
		{"one bit is flipped always", func(_ int, b []byte) int { b[0] ^= 1; return 0 }, extents.ErrVerify},
		{"the network fails a few times", func(n int, _ []byte) int {
			if n < 5 {
				return 1
			}
			return 0
		}, nil},
		{"the network fails for good", func(int, []byte) int { return 1 }, extents.ErrTransfer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image), MaxExtent: 4 * mib})
			if err != nil {
				t.Fatal(err)
			}
			m := &medium{disk: make([]byte, len(image)), image: image}
			times := 0
			m.write = func(r extents.Range, b []byte) int {
				const place = 8*mib + 100
				if r.Offset > place || r.Offset+r.Length <= place {
					return 0
				}
				times++
				return tc.fault(times, b[place-r.Offset:])
			}
			err = m.run(t, p)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil && !bytes.Equal(m.disk, image) {
				t.Error("success, and the disk is wrong")
			}
		})
	}
}

// TestScriptOnRealBusybox runs the script as the board does, on busybox, over
// HTTP, on a file.
func TestScriptOnRealBusybox(t *testing.T) {
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	image := noise(23*mib+4097, 4*mib, func(i int) bool { return i != 2 })
	changed := append(bytes.Clone(image), make([]byte, 9*mib)...)
	changed[13*mib+5]++
	for _, tc := range []struct {
		name    string
		disk    []byte
		config  extents.Config
		readers int
		scratch bool // digests go through a file in memory
	}{
		{"blank", make([]byte, 32*mib), extents.Config{}, 2, false},
		{"dirty", bytes.Repeat([]byte{0xff}, 32*mib), extents.Config{}, 2, true},
		{"identical", append(bytes.Clone(image), make([]byte, 9*mib)...), extents.Config{}, 2, true},
		{"blank, by SHA-512", make([]byte, 32*mib), extents.Config{Digest: extents.SHA512}, 2, false},
		{"changed, by SHA-512", changed, extents.Config{Digest: extents.SHA512}, 4, true},
		{"changed, by one of two", changed, extents.Config{Other: extents.SHA512}, 2, true},
		{"blank, by one of two", make([]byte, 32*mib), extents.Config{Other: extents.SHA512}, 2, true},
		{"changed, no memory to time two", changed, extents.Config{Other: extents.SHA512}, 2, false},
		{"changed, by MD5", changed, extents.Config{Digest: extents.MD5}, 1, false},
		{"dirty, while it is written", bytes.Repeat([]byte{0xff}, 32*mib), extents.Config{Verify: extents.VerifyWritten}, 4, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.config.Chunks, tc.config.Image = chunksOf(image, 4*mib), bytes.NewReader(image)
			p, err := extents.New(tc.config)
			if err != nil {
				t.Fatal(err)
			}
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, tc.disk, 0o600); err != nil {
				t.Fatal(err)
			}
			scratch := ""
			if tc.scratch {
				scratch = memoryDir(t)
			}
			workers := []string{"writer"}
			for i := range tc.readers {
				workers = append(workers, fmt.Sprint("reader", i+1))
			}
			runScript(t, busybox, string(extents.Script()), p, disk, scratch, workers...)
			if err := p.Err(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(disk)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got[:len(image)], image) {
				t.Error("the disk does not hold the image")
			}
			if !bytes.Equal(got[len(image):], tc.disk[len(image):]) {
				t.Error("something was written behind the image")
			}
			if s := p.Stats(); s.Proved != int64(len(image)) {
				t.Errorf("%+v", s)
			}
			t.Logf("%+v, by %v, %v", p.Stats(), p.Digests(), p.DigestSpeeds())
			timed := 0
			if tc.config.Other.Program != "" && tc.scratch {
				timed = 2
			}
			if speeds := p.DigestSpeeds(); len(speeds) != timed || timed == 0 && len(p.Digests()) != 1 {
				t.Errorf("%v, digested by %v", speeds, p.Digests())
			}
		})
	}
}

// runScript runs both phases of the script on busybox.
func runScript(t *testing.T, busybox, script string, p *extents.Plan, disk, scratch string, workers ...string) {
	t.Helper()
	serveScript(t, busybox, script, p, p.Handler(), disk, scratch, workers...)
}

// serveScript is runScript with a handler between.
func serveScript(t *testing.T, busybox, script string, p *extents.Plan, h http.Handler, disk, scratch string, workers ...string) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for more := true; more; more = p.ReadBack() {
		cmd := exec.CommandContext(ctx, busybox, append([]string{"sh", "-s", disk, srv.URL, "", "", scratch}, workers...)...)
		cmd.Stdin, cmd.Env = strings.NewReader(script), []string{"PATH="}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("script: %v\n%s", err, out)
		}
	}
}

// TestImageChanged: what is no longer the image that the digests are of is not
// proved by a digest of what it became.
func TestImageChanged(t *testing.T) {
	image := noise(8*mib, mib, func(int) bool { return true })
	chunks := chunksOf(image, mib)
	image[3*mib+9]++
	p, err := extents.New(extents.Config{Chunks: chunks, Image: bytes.NewReader(image), Digest: extents.SHA512})
	if err != nil {
		t.Fatal(err)
	}
	m := &medium{disk: make([]byte, len(image)), image: image, newHash: sha512.New}
	if err := m.run(t, p); !errors.Is(err, extents.ErrImage) || !strings.Contains(err.Error(), fmt.Sprint(3*mib)) {
		t.Errorf("got %v, want ErrImage and where", err)
	}
}
