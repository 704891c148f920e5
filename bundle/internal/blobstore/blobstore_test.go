package blobstore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

func newStore(t *testing.T) (*blobstore.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := blobstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func put(t *testing.T, s *blobstore.Store, text string) digest.Digest {
	t.Helper()
	w, err := s.Create(digest.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	d := w.Digest()
	if _, err := w.Commit(d, int64(len(text))); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWriter(t *testing.T) {
	s, dir := newStore(t)
	good := digest.FromString("good")
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		w, err := s.Create(alg)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("bad start"))
		if err := w.Reset(); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("good"))
		if _, err := w.Commit(alg.FromString("good"), 4); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if _, err := s.Verify(t.Context(), alg.FromString("good"), 4); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	for _, tc := range []struct {
		d    digest.Digest
		size int64
	}{{good, 5}, {digest.FromString("other"), 4}, {"sha256:nonsense", 4}} {
		w, err := s.Create(digest.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("good"))
		if _, err := w.Commit(tc.d, tc.size); !errors.Is(err, blobstore.ErrMismatch) {
			t.Errorf("%v: %v", tc, err)
		}
	}
	if _, err := s.Create("md5"); err == nil {
		t.Error("md5 was accepted")
	}
	if left, err := os.ReadDir(filepath.Join(dir, "dutflash-v1", "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestVerify(t *testing.T) {
	s, dir := newStore(t)
	d := put(t, s, "content")
	if _, err := s.Verify(t.Context(), d, 8); !errors.Is(err, blobstore.ErrMismatch) {
		t.Errorf("size: %v", err)
	}
	if _, err := s.Verify(t.Context(), digest.FromString("none"), 8); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := s.Verify(t.Context(), "../../x:y", 8); err == nil {
		t.Error("a digest that is none")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verify(ctx, d, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dutflash-v1", "blobs", "sha256", d.Encoded()), []byte("CONTENT"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), d, 7); !errors.Is(err, blobstore.ErrMismatch) {
		t.Errorf("changed: %v", err)
	}
	if err := errors.Join(s.Remove(d), s.Remove(d)); err != nil {
		t.Error(err)
	}
}

// TestTornRecords: records that a crash or somebody damaged count as missing.
func TestTornRecords(t *testing.T) {
	s, dir := newStore(t)
	d := put(t, s, "manifest")
	if err := errors.Join(s.PutRecord(blobstore.Record{Digest: d, Blobs: []digest.Digest{d}}),
		s.PutRef(blobstore.Ref{Reference: "r", Digest: d, Time: time.Now()}), s.PutTree(blobstore.Tree{Layer: d})); err != nil {
		t.Fatal(err)
	}
	seen := func() (n int) {
		if _, ok := s.HasRecord(d); ok {
			n++
		}
		if _, ok := s.Ref("r"); ok {
			n++
		}
		if _, ok := s.Tree(d); ok {
			n++
		}
		return n
	}
	if seen() != 3 {
		t.Fatalf("%d of 3 records are there", seen())
	}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".json") {
			err = os.Truncate(p, 5)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen() != 0 {
		t.Errorf("%d torn records are believed", seen())
	}
	if r, err := s.Prune(t.Context(), time.Time{}, -1); err != nil || r.Kept != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLocks(t *testing.T) {
	s, _ := newStore(t)
	d := put(t, s, "x")
	if err := s.PutRecord(blobstore.Record{Digest: d, Blobs: []digest.Digest{d}}); err != nil {
		t.Fatal(err)
	}
	one, err := s.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Shared(t.Context())
	if err != nil {
		t.Fatalf("a second one who shares: %v", err)
	}
	lease, err := s.Lease(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Prune(ctx, time.Time{}, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("prune while others add: %v", err)
	}
	if err := errors.Join(one.Unlock(), two.Unlock()); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Prune(t.Context(), time.Time{}, 0); err != nil || r.InUse != 1 || r.Bundles != 0 {
		t.Errorf("leased: %+v, %v", r, err)
	}
	if err := lease.Unlock(); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Prune(t.Context(), time.Time{}, 0); err != nil || r.Bundles != 1 || r.Kept != 0 {
		t.Errorf("free: %+v, %v", r, err)
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	s, dir := newStore(t)
	shared := put(t, s, strings.Repeat("s", 100))
	now := time.Now()
	var all []digest.Digest
	for i, name := range []string{"a", "b", "c"} {
		d := put(t, s, strings.Repeat(name, 100))
		if err := s.PutRecord(blobstore.Record{Digest: d, Blobs: []digest.Digest{d, shared}}); err != nil {
			t.Fatal(err)
		}
		when := now.Add(time.Duration(i-3) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "dutflash-v1", "bundles", "sha256", d.Encoded()+".json"), when, when); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	r, err := s.Prune(t.Context(), time.Time{}, 300)
	if err != nil || r.Bundles != 1 || r.Freed != 100 || r.Kept != 300 {
		t.Errorf("%+v, %v", r, err)
	}
	for i, d := range all {
		if _, ok := s.HasRecord(d); ok != (i > 0) {
			t.Errorf("bundle %d: kept %v", i, ok)
		}
	}
}
