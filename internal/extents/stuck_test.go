package extents_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/internal/testtool"
)

// TestStuckTransfer: a connection on which nothing comes any more, and no end either, is
// given up by the board after much more than the writes before took, and the extent is
// fetched again.
func TestStuckTransfer(t *testing.T) {
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	image := noise(24*mib, mib, func(int) bool { return true })
	p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image), MaxExtent: 4 * mib})
	if err != nil {
		t.Fatal(err)
	}
	const limit = `fetch "$url/data?task=$2" "$6"`
	script := strings.Replace(string(extents.Script()), limit, `fetch "$url/data?task=$2" $(($6 == 60 ? 3 : $6))`, 1)
	if script == string(extents.Script()) {
		t.Fatalf("no %s in the script", limit)
	}
	h := p.Handler()
	var transfers atomic.Int32
	stuck := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/data" && transfers.Add(1) == 3 {
			w.Write(image[:mib/2])
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	})
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, make([]byte, len(image)), 0o600); err != nil {
		t.Fatal(err)
	}
	serveScript(t, busybox, script, p, stuck, disk, "", "writer", "reader1", "reader2")
	if s := p.Stats(); p.Err() != nil || s.Proved != s.Total || transfers.Load() < 4 {
		t.Errorf("%+v, %v after %d transfers, of which the third stood still", s, p.Err(), transfers.Load())
	}
	if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, image) {
		t.Errorf("the disk does not hold the image (%v)", err)
	}
}

// TestWriteLimit: what a write may take depends on those before it.
func TestWriteLimit(t *testing.T) {
	image := noise(8*mib, mib, func(int) bool { return true })
	p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image), MaxExtent: 4 * mib, WriteAll: true})
	if err != nil {
		t.Fatal(err)
	}
	first := p.Ask(t.Context(), "writer")
	p.Report("writer", first.ID, 0, "")
	second := p.Ask(t.Context(), "writer")
	if first.Seconds != 900 || second.Seconds != 60 || !strings.HasSuffix(second.String(), " 60") {
		t.Errorf("%v s, then %v s: %q", first.Seconds, second.Seconds, second)
	}
	for _, want := range []int64{120, 240, 480, 900, 900} {
		p.Report("writer", second.ID, 143, "") // as timeout ends it
		if second = p.Ask(t.Context(), "writer"); second.Seconds != want {
			t.Errorf("%d s the next time, want %d", second.Seconds, want)
		}
	}
}
