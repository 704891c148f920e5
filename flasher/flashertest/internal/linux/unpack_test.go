package linux_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
)

// TestPackedImagesAreWritten is the pipeline that everybody knows.
func TestPackedImagesAreWritten(t *testing.T) {
	t.Parallel()
	image := bytes.Repeat(randomBytes(10_000, 4), 120)
	pack := func(f func(w io.Writer) (io.WriteCloser, error)) []byte {
		t.Helper()
		var b bytes.Buffer
		w, err := f(&b)
		if err == nil {
			_, err = w.Write(image)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	files := map[string][]byte{
		"gz":   pack(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		"xz":   pack(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		"lzma": pack(func(w io.Writer) (io.WriteCloser, error) { return lzma.NewWriter(w) }),
		"zst":  pack(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
	}
	files["cut"] = files["xz"][:len(files["xz"])/2]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(files[r.URL.Path[1:]])
		if r.Method == http.MethodPut {
			fmt.Fprintf(w, "PUT %d ", r.ContentLength)
			io.Copy(w, r.Body)
		}
	}))
	defer srv.Close()
	d := newDisk(t, 8*mib)
	cfg := networked(t, d)
	cfg.Tools = slices.Concat(linux.BusyboxTools(), linux.ExtraTools())
	s := session(t, cfg)
	for kind, unpack := range map[string]string{"gz": "zcat", "xz": "xzcat", "lzma": "unlzma -c", "zst": "zstd -dc", "xz ": "xz -dc"} {
		d.WriteAt(make([]byte, 8*mib), 0)
		cmd := fmt.Sprintf("set -o pipefail; curl -fsSL %s/%s | %s | dd of=/dev/mmcblk1 bs=64k iflag=fullblock oflag=direct", srv.URL, strings.TrimSpace(kind), unpack)
		if out, err := s.Run(testContext(t), cmd); err != nil {
			t.Errorf("%s: %v\n%s", kind, err, out)
			continue
		}
		if got, err := d.SHA256(int64(len(image))); err != nil || got != sha256.Sum256(image) {
			t.Errorf("%s: the disk holds something else, %v", kind, err)
		}
	}
	if out, err := s.Run(testContext(t), "printf 'to be sent' >/tmp/f; curl -fsS -H Expect: -T /tmp/f "+srv.URL+"/put; zstd -1 -c </tmp/f | zstd -dc"); err != nil || out != "PUT 10 to be sentto be sent" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := s.Run(testContext(t), "curl -fsSL "+srv.URL+"/cut | xzcat | wc -c"); err == nil {
		t.Errorf("half an xz file: %q", out)
	}
}
