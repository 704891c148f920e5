package extents_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/internal/testtool"
)

// loopDevice puts a file behind a block device of this machine's kernel.
func loopDevice(t *testing.T, size int64) (device, file string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a loop device and for /proc/sys/vm/drop_caches")
	}
	losetup := testtool.Need(t, "losetup", "apt-get install mount")
	file = filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(losetup, "--show", "-f", file).Output()
	if err != nil {
		t.Skipf("losetup: %v: this kernel or container has no loop devices", err)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if err := exec.Command(losetup, "-d", device).Run(); err != nil {
			t.Error(err)
		}
	})
	return device, file
}

// TestProofPastThePageCache: the medium does not keep what was written to it, and
// dd cannot read past the page cache, in which it still is.
func TestProofPastThePageCache(t *testing.T) {
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	image := noise(8*mib, mib, func(int) bool { return true })
	for _, tc := range []struct {
		name  string
		times int // the medium loses a byte
		err   error
	}{
		{"once", 1, nil},
		{"always", 1 << 20, extents.ErrVerify},
	} {
		t.Run(tc.name, func(t *testing.T) {
			device, file := loopDevice(t, 8*mib)
			p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image)})
			if err != nil {
				t.Fatal(err)
			}
			held, err := os.Open(device) // as the board's shell does; the last close drops the cache
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			medium, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer medium.Close()
			var mu sync.Mutex
			left := tc.times
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				if b := make([]byte, mib); r.URL.Query().Get("worker") == "writer" && left > 0 {
					_, err := medium.ReadAt(b, 3*mib)
					if err == nil && bytes.Equal(b, image[3*mib:4*mib]) { // it was written
						left--
						_, err = medium.WriteAt([]byte{b[0] ^ 1}, 3*mib)
					}
					if err != nil {
						t.Error(err)
					}
				}
				mu.Unlock()
				p.Handler().ServeHTTP(w, r)
			}))
			defer srv.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out []byte
			for more := true; more && err == nil; more = p.ReadBack() {
				cmd := exec.CommandContext(ctx, busybox, "sh", "-s", device, srv.URL, "drop", "", "", "writer", "reader")
				cmd.Stdin, cmd.Env = bytes.NewReader(extents.Script()), []string{"PATH="}
				out, err = cmd.CombinedOutput()
			}
			if (err == nil) != (tc.err == nil) || !errors.Is(p.Err(), tc.err) {
				t.Errorf("%v, %v, want %v\n%s", p.Err(), err, tc.err, out)
			}
			if got, err := os.ReadFile(file); tc.err == nil && (err != nil || !bytes.Equal(got, image)) {
				t.Errorf("the medium does not hold the image (%v)", err)
			}
		})
	}
}
