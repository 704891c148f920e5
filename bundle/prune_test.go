package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/bundle"
)

func TestPrune(t *testing.T) {
	host := startRegistry(t, nil)
	dir := t.TempDir()
	opt := bundle.WithCacheDir(dir)
	first := smallBundle()
	push(t, host, "b", "one", first...)
	second := smallBundle()
	second[1].data = bytes.Repeat([]byte("second"), 2000)
	push(t, host, "b", "two", second...)
	one, err := bundle.Open(t.Context(), host+"/b:one", opt)
	if err != nil {
		t.Fatal(err)
	}
	two, err := bundle.Open(t.Context(), host+"/b:two", opt)
	if err != nil {
		t.Fatal(err)
	}
	// What a crash would leave: half a blob, and a blob of no bundle.
	junk := filepath.Join(dir, "dutflash-v1", "tmp", "part-1")
	orphan := blobPath(dir, []byte("orphan"))
	if err := errors.Join(os.WriteFile(junk, []byte("half"), 0o644), os.WriteFile(orphan, []byte("orphan"), 0o644)); err != nil {
		t.Fatal(err)
	}
	c, err := bundle.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	prune := func(o bundle.PruneOptions) bundle.PruneResult {
		t.Helper()
		r, err := c.Prune(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := prune(bundle.PruneOptions{}); r.Dropped != 0 || r.Freed != 6 {
		t.Errorf("without limits: %+v", r)
	}
	for _, p := range []string{junk, orphan} {
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there", p)
		}
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if r := prune(bundle.PruneOptions{MaxSize: 1}); r.Dropped != 1 || r.InUse != 1 {
		t.Errorf("one is open: %+v", r)
	}
	if got := read(t, two, "data/kernel"); got != string(second[1].data) {
		t.Error("the open bundle lost its kernel")
	}
	if _, err := os.Stat(blobPath(dir, first[1].data)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the kernel of the dropped bundle is still there")
	}
	if _, err := bundle.Open(t.Context(), host+"/b:one", opt, bundle.WithOffline()); !errors.Is(err, bundle.ErrOffline) {
		t.Errorf("the dropped bundle: %v", err)
	}
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if r := prune(bundle.PruneOptions{MaxAge: time.Hour}); r.Dropped != 0 {
		t.Errorf("young: %+v", r)
	}
	records, err := filepath.Glob(filepath.Join(dir, "dutflash-v1", "bundles", "sha256", "*.json"))
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(records[0], old, old); err != nil {
		t.Fatal(err)
	}
	if r := prune(bundle.PruneOptions{MaxAge: time.Hour}); r.Dropped != 1 || r.Kept != 0 {
		t.Errorf("old: %+v", r)
	}
}

func TestPruneWaitsForAPull(t *testing.T) {
	g := &gate{}
	host := startRegistry(t, g.wrap)
	push(t, host, "b", "v1", smallBundle()...)
	dir := t.TempDir()
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			once.Do(func() { close(arrived) })
			<-release
		}
		return false
	})
	done := make(chan error, 1)
	go func() {
		b, err := bundle.Open(context.WithoutCancel(t.Context()), host+"/b:v1", bundle.WithCacheDir(dir))
		if err == nil {
			err = b.Close()
		}
		done <- err
	}()
	<-arrived
	c, err := bundle.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Prune(ctx, bundle.PruneOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("prune during a pull: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	host := startRegistry(t, nil)
	dir := t.TempDir()
	c, err := bundle.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := c.List(); err != nil || len(l) != 0 || c.Dir() != dir {
		t.Errorf("empty: %v, %v", l, err)
	}
	d := push(t, host, "b", "v1", smallBundle()...)
	push(t, host, "b", "v2", smallBundle()...)
	open(t, host+"/b:v2", bundle.WithCacheDir(dir))
	open(t, host+"/b:v1", bundle.WithCacheDir(dir))
	l, err := c.List()
	if err != nil || len(l) != 1 || l[0].Digest != string(d) || len(l[0].References) != 2 || l[0].References[0] != host+"/b:v1" ||
		l[0].Size < 6000 || time.Since(l[0].LastUsed) > time.Hour {
		t.Errorf("%+v, %v", l, err)
	}
}
