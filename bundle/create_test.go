package bundle_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dutflash/dutflash/bundle"
)

func TestCreateIsReproducible(t *testing.T) {
	first := writeDir(t, t.TempDir(), smallFiles())
	tar1 := filepath.Join(t.TempDir(), "a.tar")
	want, err := bundle.Create(t.Context(), first, tar1)
	if err != nil {
		t.Fatal(err)
	}
	// The same files later, with other modes, and with things beside them that
	// are not part of the bundle.
	files := smallFiles()
	files["README.md"], files["data/.gitkeep"], files["ci.yaml"] = "x", "", "kind: Pipeline\n"
	second := writeDir(t, t.TempDir(), files)
	past := time.Unix(1, 0)
	if err := errors.Join(os.Chtimes(filepath.Join(second, "data", "kernel"), past, past), os.Chmod(filepath.Join(second, "data", "kernel"), 0o755)); err != nil {
		t.Fatal(err)
	}
	tar2 := filepath.Join(t.TempDir(), "b.tar")
	if got, err := bundle.Create(t.Context(), second, tar2); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	a, err1 := os.ReadFile(tar1)
	b, err2 := os.ReadFile(tar2)
	if err := errors.Join(err1, err2); err != nil || string(a) != string(b) {
		t.Errorf("the tar files differ (%v)", err)
	}
	host := startRegistry(t, nil)
	if got, err := bundle.Push(t.Context(), second, "oci://"+host+"/b:v1"); err != nil || got != want {
		t.Errorf("pushed %s, %v; want %s", got, err, want)
	}
	same(t, open(t, host+"/b:v1", bundle.WithCacheDir(t.TempDir())), bundle.KindRegistry, true)
}

func TestCreateRefuses(t *testing.T) {
	with := func(change func(map[string]string)) string {
		files := smallFiles()
		change(files)
		return writeDir(t, t.TempDir(), files)
	}
	good := with(func(map[string]string) {})
	full := writeDir(t, t.TempDir(), map[string]string{"something": "else"})
	linked := with(func(map[string]string) {})
	if err := os.Symlink("/etc/hostname", filepath.Join(linked, "data", "link")); err != nil {
		linked = "" // no symbolic links on this system
	}
	var me *bundle.ManifestError
	tests := []struct {
		name, dir, dest string
		want            error
		as              any
		text            string
	}{
		{"missing file", with(func(f map[string]string) { delete(f, "data/kernel") }), "", bundle.ErrNoFile, &me, "data/kernel"},
		{"broken manifest", with(func(f map[string]string) { f["manifest.yaml"] = "a: [" }), "", nil, &me, "manifest.yaml"},
		{"broken second manifest", with(func(f map[string]string) { f["b.yaml"] = "kind: FlashBundleManifest\n" }), "", nil, &me, "b.yaml"},
		{"no manifest", with(func(f map[string]string) { delete(f, "manifest.yaml") }), "", bundle.ErrNoManifest, nil, ""},
		{"only other YAML", with(func(f map[string]string) { delete(f, "manifest.yaml"); f["ci.yaml"] = "kind: X\n" }), "", bundle.ErrNoManifest, nil, "kind FlashBundleManifest"},
		{"link to the outside", linked, "", bundle.ErrUnsafePath, nil, "data/link"},
		{"no such directory", filepath.Join(good, "none"), "", bundle.ErrNotFound, nil, ""},
		{"directory that is in use", good, full, nil, nil, "no OCI layout"},
		{"no place for a tar", good, filepath.Join(good, "none", "x.tar"), nil, nil, "write"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if tc.dir == "" {
				t.Skip("no symbolic links on this system")
			}
			dest := tc.dest
			if dest == "" {
				dest = filepath.Join(t.TempDir(), "layout")
			}
			_, err := bundle.Create(t.Context(), tc.dir, dest)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || tc.as != nil && !errors.As(err, tc.as) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v", err)
			}
			if tc.dest == "" {
				if _, err := os.Stat(dest); !errors.Is(err, os.ErrNotExist) {
					t.Error("something was written")
				}
			}
		})
	}
	layout := filepath.Join(t.TempDir(), "layout")
	if _, err := bundle.Create(t.Context(), good, layout); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Create(t.Context(), layout, t.TempDir()); err == nil || !strings.Contains(err.Error(), "OCI layout") {
		t.Errorf("a layout as the source: %v", err)
	}
	for ref, want := range map[string]error{"localhost/b@sha256:" + strings.Repeat("0", 64): bundle.ErrReference, "": bundle.ErrReference, "localhost:1/b:v1": bundle.ErrUnreachable} {
		if _, err := bundle.Push(t.Context(), good, ref, bundle.WithRetries(1)); !errors.Is(err, want) {
			t.Errorf("push to %q: %v", ref, err)
		}
	}
}

func TestPushRetriesAndGivesUp(t *testing.T) {
	noCredentials(t)
	g := &gate{}
	host := startRegistry(t, g.wrap)
	src := writeDir(t, t.TempDir(), smallFiles())
	var puts atomic.Int64
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/") && puts.Add(1) == 1 && down(w, r)
	})
	if _, err := bundle.Push(t.Context(), src, host+"/b:v1"); err != nil || puts.Load() < 5 {
		t.Errorf("%v after %d uploads", err, puts.Load())
	}
	writeDir(t, src, map[string]string{"data/kernel": "new, as the registry shares blobs between repositories"})
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/") && down(w, r)
	})
	if _, err := bundle.Push(t.Context(), src, host+"/c:v1", bundle.WithRetries(1)); !errors.Is(err, bundle.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g.set(func(w http.ResponseWriter, r *http.Request) bool { cancel(); return false })
	if _, err := bundle.Push(ctx, src, host+"/d:v1"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTemplates(t *testing.T) {
	for _, name := range bundle.Templates() {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			if err := bundle.WriteTemplate(dir, name, "my-board.v2"); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, "manifest.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			m, warnings, err := bundle.ParseManifest("manifest.yaml", data)
			if err != nil || len(warnings) > 0 || m.Name != "my-board.v2" {
				t.Fatalf("%+v, %v, %v", m, warnings, err)
			}
			// With files of the right kind in place nothing is left to say.
			for _, f := range m.Files() {
				text := realRamdisk
				switch filepath.Base(f) {
				case "Image":
					text = func(*testing.T) string { return arm64Image(0x1000) }
				case "zImage":
					text = func(*testing.T) string { return zImage() }
				case "my-board.v2.dtb":
					text = realDTB
				case "flasher.itb":
					text = realFIT
				}
				writeDir(t, dir, map[string]string{f: text(t)})
			}
			found, err := bundle.Lint(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				// The FIT of the test knows other configurations.
				if !(name == "fit" && strings.Contains(f.Message, "has no configuration")) {
					t.Error(f)
				}
			}
			if err := bundle.WriteTemplate(dir, name, "my-board"); !errors.Is(err, os.ErrExist) {
				t.Errorf("a second time: %v", err)
			}
		})
	}
	if err := bundle.WriteTemplate(t.TempDir(), "nope", "x"); err == nil || !strings.Contains(err.Error(), "booti, bootz, fit") {
		t.Errorf("got %v", err)
	}
	for _, board := range []string{"", "../x", "a b", "x\ny", "-x", "A"} {
		if err := bundle.WriteTemplate(t.TempDir(), "fit", board); err == nil {
			t.Errorf("%q was accepted", board)
		}
	}
}

func TestBoards(t *testing.T) {
	boards := bundle.KnownBoards()
	for _, name := range []string{"ti-j784s4", "TI_J784S4", "TIJ784S4Flasher", "jumpstarter_driver_flashers.driver.TIJ784S4Flasher"} {
		if b, err := boards.Lookup(name); err != nil || b.Bundle != "quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest" {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
	if b, err := boards.Lookup("RCarS4Flasher"); err != nil || b.Name != "rcar-s4" {
		t.Errorf("%+v, %v", b, err)
	}
	boards["my.board"] = bundle.Board{Name: "my.board", Bundle: "./mine"}
	if b, err := boards.Lookup("my.board"); err != nil || b.Bundle != "./mine" {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := bundle.KnownBoards().Lookup("my.board"); !errors.Is(err, bundle.ErrUnknownBoard) || !strings.Contains(err.Error(), "rcar-s4, ti-j784s4") {
		t.Errorf("another map: %v", err)
	}
	boards["rcar_s4"] = bundle.Board{Name: "rcar_s4"}
	if _, err := boards.Lookup("RCAR S4"); !errors.Is(err, bundle.ErrUnknownBoard) || !strings.Contains(err.Error(), "could be any of") {
		t.Errorf("two fit: %v", err)
	}
	for _, name := range []string{"", "-", "."} {
		if _, err := boards.Lookup(name); !errors.Is(err, bundle.ErrUnknownBoard) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
