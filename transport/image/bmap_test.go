package image_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

func TestBmapBesideTheImage(t *testing.T) {
	tool := testtool.Need(t, "bmaptool", "apt-get install bmap-tools")
	dir := t.TempDir()
	raw := rawImage(4 * mib)
	clear(raw[mib : 3*mib])
	path := filepath.Join(dir, "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt(raw[:mib], 0)
	f.WriteAt(raw[3*mib:], 3*mib)
	f.Close()
	if out, err := exec.Command(tool, "create", "-o", filepath.Join(dir, "disk.bmap"), path).CombinedOutput(); err != nil {
		t.Fatalf("bmaptool: %v\n%s", err, out)
	}
	stored := pack(t, packers[0], raw)
	if err := os.WriteFile(path+".xz", stored, 0o600); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	cache := t.TempDir()
	for _, ref := range []string{path + ".xz", path + ".xz", srv.URL + "/disk.raw.xz"} {
		p, err := prepare(t, open(t, ref), image.WithCacheDir(cache))
		if err != nil {
			t.Fatal(err)
		}
		check(t, p, raw, stored)
		m := p.Mapped()
		if len(m) == 0 || m[0].Offset != 0 || m[len(m)-1].Offset+m[len(m)-1].Size != 4*mib {
			t.Errorf("mapped %v", m)
		}
		for _, e := range m {
			if e.Offset < 2*mib && e.Offset+e.Size > 2*mib {
				t.Errorf("the hole is mapped: %v", m)
			}
		}
		p.Close()
	}
	bm, err := os.ReadFile(filepath.Join(dir, "disk.bmap"))
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(raw)
	other[10] ^= 1
	for name, tc := range map[string]struct{ raw, bmap []byte }{
		"another image":          {other, bm},
		"shorter image":          {raw[:3*mib+512], bm},
		"damaged map":            {raw, bytes.Replace(bm, []byte("<BlockSize> 4096"), []byte("<BlockSize> 4097"), 1)},
		"another image in cache": {other, bm},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "i.raw", tc.raw)
			if name == "another image in cache" {
				if _, err := prepare(t, open(t, path), image.WithCacheDir(cache), image.WithoutBmap()); err != nil {
					t.Fatal(err)
				}
			}
			_, err := prepare(t, open(t, path), image.WithCacheDir(cache), image.WithBmap(open(t, writeFile(t, "i.bmap", tc.bmap))))
			if !errors.Is(err, image.ErrChecksum) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestBadMapBesideTheImage: a map that is there and not good is no reason to go
// on without it.
func TestBadMapBesideTheImage(t *testing.T) {
	tool := testtool.Need(t, "bmaptool", "apt-get install bmap-tools")
	dir := t.TempDir()
	raw := rawImage(mib)
	if err := os.WriteFile(filepath.Join(dir, "i.raw"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	good, err := exec.Command(tool, "create", filepath.Join(dir, "i.raw")).Output()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	other := bytes.Clone(raw)
	other[mib-1] ^= 1
	for name, tc := range map[string]struct {
		raw, bmap []byte
		want      error
	}{
		"good":             {raw, good, nil},
		"another image":    {other, good, image.ErrChecksum},
		"map was changed":  {raw, bytes.Replace(good, []byte("</BlockMap>"), []byte(" </BlockMap>"), 1), image.ErrChecksum},
		"map is cut":       {raw, good[:len(good)-20], image.ErrCorrupt},
		"version is later": {raw, bytes.Replace(good, []byte(`version="2.0"`), []byte(`version="9.0"`), 1), image.ErrUnsupportedFormat},
		"no map at all":    {raw, []byte("<html>not found</html>"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "i.raw"), tc.raw, 0o600),
				os.WriteFile(filepath.Join(dir, "i.raw.bmap"), tc.bmap, 0o600)); err != nil {
				t.Fatal(err)
			}
			for _, ref := range []string{filepath.Join(dir, "i.raw"), srv.URL + "/i.raw"} {
				p, err := prepare(t, open(t, ref), image.WithCacheDir(t.TempDir()))
				if !errors.Is(err, tc.want) {
					t.Errorf("%s: got %v, want %v", ref, err, tc.want)
				}
				if mapped := err == nil && p.Mapped() != nil; mapped != (name == "good") {
					t.Errorf("%s: mapped %v", ref, p.Mapped())
				}
			}
		})
	}
}

// TestMapBehindForbiddenNames: an object store that does not let everybody list it
// calls what is not there forbidden.
func TestMapBehindForbiddenNames(t *testing.T) {
	tool := testtool.Need(t, "bmaptool", "apt-get install bmap-tools")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "i.raw"), rawImage(mib), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "create", "-o", filepath.Join(dir, "i.bmap"), filepath.Join(dir, "i.raw")).CombinedOutput(); err != nil {
		t.Fatalf("bmaptool: %v\n%s", err, out)
	}
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(r.URL.Path))); err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer srv.Close()
	p, err := prepare(t, open(t, srv.URL+"/i.raw"), image.WithCacheDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if p.Mapped() == nil {
		t.Error("the block map was not found")
	}
}

// TestServerThatFailsForTheMap: whether there is a block map is not asked for as long as
// for the image.
func TestServerThatFailsForTheMap(t *testing.T) {
	raw := rawImage(mib)
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".bmap") {
			asked.Add(1)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}))
	defer srv.Close()
	p, err := prepare(t, open(t, srv.URL+"/i.raw", image.WithRetries(10, time.Millisecond)), image.WithCacheDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); p.Mapped() != nil || p.Size() != int64(len(raw)) || n != 3 {
		t.Errorf("asked %d times, want 3; %d bytes", n, p.Size())
	}
}
