package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/bundle"
)

// blobPath returns where the cache keeps a blob.
func blobPath(dir string, data []byte) string {
	return filepath.Join(dir, "dutflash-v1", "blobs", "sha256", digest.FromBytes(data).Encoded())
}

// gate is a registry whose answers can be counted, slowed and refused.
type gate struct {
	next  http.Handler
	gets  atomic.Int64 // of blobs
	heads atomic.Int64 // of manifests
	fail  atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

func (g *gate) wrap(h http.Handler) http.Handler { g.next = h; return g }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := g.fail.Load(); f != nil && (*f)(w, r) {
		return
	}
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		g.gets.Add(1)
	}
	if strings.Contains(r.URL.Path, "/manifests/") && r.Method == http.MethodHead {
		g.heads.Add(1)
	}
	g.next.ServeHTTP(w, r)
}

func (g *gate) set(f func(w http.ResponseWriter, r *http.Request) bool) { g.fail.Store(&f) }

func down(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

func up(http.ResponseWriter, *http.Request) bool { return false }

func open(tb testing.TB, ref string, opts ...bundle.Option) *bundle.Bundle {
	tb.Helper()
	b, err := bundle.Open(tb.Context(), ref, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

func TestMovedTagFetchesOnlyWhatChanged(t *testing.T) {
	g := &gate{}
	host := startRegistry(t, g.wrap)
	dir := bundle.WithCacheDir(t.TempDir())
	push(t, host, "b", "v1", smallBundle()...)
	open(t, host+"/b:v1", dir)
	if n := g.gets.Load(); n != 3 {
		t.Errorf("the first pull fetched %d blobs, want 3", n)
	}
	open(t, host+"/b:v1", dir)
	if n := g.gets.Load(); n != 3 {
		t.Errorf("the second pull fetched %d more blobs", n-3)
	}
	changed := smallBundle()
	changed[1].data = []byte("another kernel")
	want := push(t, host, "b", "v1", changed...)
	b := open(t, host+"/b:v1", dir)
	if n := g.gets.Load(); n != 4 {
		t.Errorf("after the tag moved %d blobs were fetched, want 1", n-3)
	}
	if got := read(t, b, "data/kernel"); got != "another kernel" || b.Digest() != string(want) {
		t.Errorf("got %q, %s", got, b.Digest())
	}
}

func TestDigestNeedsNoRegistryTwice(t *testing.T) {
	g := &gate{}
	host := startRegistry(t, g.wrap)
	dir := bundle.WithCacheDir(t.TempDir())
	d := push(t, host, "b", "v1", smallBundle()...)
	open(t, host+"/b@"+string(d), dir)
	g.set(down)
	b := open(t, host+"/b@"+string(d), dir, bundle.WithRequireFresh())
	if len(b.Warnings()) > 0 {
		t.Errorf("warnings: %q", b.Warnings())
	}
	open(t, host+"/b@"+string(d), dir, bundle.WithOffline())
}

func TestUnreachableRegistryUsesTheCache(t *testing.T) {
	g := &gate{}
	host := startRegistry(t, g.wrap)
	dir := bundle.WithCacheDir(t.TempDir())
	d := push(t, host, "b", "v1", smallBundle()...)
	open(t, host+"/b:v1", dir)
	g.set(down)
	once := bundle.WithRetries(1)

	b := open(t, host+"/b:v1", dir, once)
	w := b.Warnings()
	if b.Digest() != string(d) || len(w) != 1 || !strings.Contains(w[0], "cannot be reached") || !strings.Contains(w[0], string(d)) {
		t.Errorf("got %s, warnings %q", b.Digest(), w)
	}
	if _, err := bundle.Open(t.Context(), host+"/b:v1", dir, once, bundle.WithRequireFresh()); !errors.Is(err, bundle.ErrUnreachable) {
		t.Errorf("WithRequireFresh: %v", err)
	}
	if _, err := bundle.Open(t.Context(), host+"/b:v2", dir, once); !errors.Is(err, bundle.ErrUnreachable) {
		t.Errorf("never pulled: %v", err)
	}
	if _, err := bundle.Open(t.Context(), host+"/b:v2", dir, bundle.WithOffline()); !errors.Is(err, bundle.ErrOffline) {
		t.Errorf("never pulled, offline: %v", err)
	}
	if b := open(t, host+"/b:v1", dir, bundle.WithOffline()); b.Digest() != string(d) {
		t.Errorf("offline: %s", b.Digest())
	}
	// A tag that is gone is not a registry that is down.
	g.set(func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(http.StatusNotFound); return true })
	if _, err := bundle.Open(t.Context(), host+"/b:v1", dir, once); !errors.Is(err, bundle.ErrNotFound) {
		t.Errorf("404: %v", err)
	}
}

func TestRegistryFailsInTheMiddleOfANewVersion(t *testing.T) {
	g := &gate{}
	host := startRegistry(t, g.wrap)
	dir := bundle.WithCacheDir(t.TempDir())
	old := push(t, host, "b", "v1", smallBundle()...)
	open(t, host+"/b:v1", dir)
	changed := smallBundle()
	changed[1].data = []byte("another kernel")
	push(t, host, "b", "v1", changed...)
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/blobs/") && down(w, r)
	})
	b := open(t, host+"/b:v1", dir, bundle.WithRetries(1))
	if b.Digest() != string(old) || len(b.Warnings()) != 1 {
		t.Errorf("got %s, %q", b.Digest(), b.Warnings())
	}
}

func TestDamagedCacheIsFetchedAgain(t *testing.T) {
	g := &gate{}
	host := startRegistry(t, g.wrap)
	layers := smallBundle()
	push(t, host, "b", "v1", layers...)
	for name, damage := range map[string]func(t *testing.T, path string){
		"bit flip": func(t *testing.T, p string) {
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			data[100] ^= 1
			if err := os.WriteFile(p, data, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(t *testing.T, p string) {
			if err := os.Truncate(p, 10); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, p string) {
			if err := os.Remove(p); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, host+"/b:v1", bundle.WithCacheDir(dir))
			damage(t, blobPath(dir, layers[1].data))
			if _, err := b.Open("data/kernel"); !errors.Is(err, bundle.ErrDigest) {
				t.Errorf("an open bundle gives the damaged file: %v", err)
			}
			if _, err := bundle.Open(t.Context(), host+"/b:v1", bundle.WithCacheDir(dir), bundle.WithOffline()); !errors.Is(err, bundle.ErrOffline) {
				t.Errorf("offline: %v", err)
			}
			b = open(t, host+"/b:v1", bundle.WithCacheDir(dir))
			if got := read(t, b, "data/kernel"); got != string(layers[1].data) {
				t.Error("the damage is still there")
			}
		})
	}
}

func TestCacheForManyAtOnce(t *testing.T) {
	host := startRegistry(t, nil)
	push(t, host, "b", "v1", smallBundle()...)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			b, err := bundle.Open(t.Context(), host+"/b:v1", bundle.WithCacheDir(dir))
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			if read(t, b, "data/dtbs/a.dtb") != "dtb" {
				t.Error("wrong content")
			}
		})
		wg.Go(func() {
			c, err := bundle.OpenCache(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.Prune(t.Context(), bundle.PruneOptions{MaxSize: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left, err := os.ReadDir(filepath.Join(dir, "dutflash-v1", "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

func TestProgressAndCancel(t *testing.T) {
	g := &gate{}
	host := startRegistry(t, g.wrap)
	layers := smallBundle()
	layers[1].data = bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // 4 MiB
	push(t, host, "b", "v1", layers...)
	dir := t.TempDir()
	var seen []bundle.Progress
	open(t, host+"/b:v1", bundle.WithCacheDir(dir), bundle.WithProgress(func(p bundle.Progress) { seen = append(seen, p) }))
	last := map[string]int64{}
	for _, p := range seen {
		if p.Done < last[p.Path] || p.Done > p.Total || p.Cached {
			t.Errorf("odd progress %+v after %d", p, last[p.Path])
		}
		last[p.Path] = p.Done
	}
	if last["data/kernel"] != 4<<20 || last["manifest.yaml"] != int64(len(smallManifest)) {
		t.Errorf("ended at %v", last)
	}
	seen = nil
	open(t, host+"/b:v1", bundle.WithCacheDir(dir), bundle.WithProgress(func(p bundle.Progress) { seen = append(seen, p) }))
	if len(seen) != 4 || slices.ContainsFunc(seen, func(p bundle.Progress) bool { return !p.Cached }) {
		t.Errorf("from the cache: %+v", seen)
	}

	dir = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			cancel()
			<-r.Context().Done()
		}
		return false
	})
	if _, err := bundle.Open(ctx, host+"/b:v1", bundle.WithCacheDir(dir)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	g.set(up)
	left, err := os.ReadDir(filepath.Join(dir, "dutflash-v1", "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("cancelling left %v, %v", left, err)
	}
}
