package bundle_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dutflash/dutflash/bundle"
)

// smallFiles is the small bundle as files.
func smallFiles() map[string]string {
	files := map[string]string{}
	for _, l := range smallBundle() {
		files[l.title] = string(l.data)
	}
	return files
}

func writeDir(tb testing.TB, dir string, files map[string]string) string {
	tb.Helper()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// same compares a bundle with the small one.
func same(t *testing.T, b *bundle.Bundle, kind bundle.Kind, digest bool) {
	t.Helper()
	if b.Kind() != kind || (b.Digest() != "") != digest {
		t.Errorf("kind %q, digest %q", b.Kind(), b.Digest())
	}
	if m, err := b.Manifest(""); err != nil || m.Name != "small" {
		t.Errorf("manifest: %+v, %v", m, err)
	}
	files, err := b.Files()
	if want := []string{"data/dtbs/a.dtb", "data/kernel", "manifest.yaml"}; err != nil || !slices.Equal(files, want) {
		t.Errorf("files %q, %v", files, err)
	}
	for name, want := range smallFiles() {
		if got := read(t, b, name); got != want {
			t.Errorf("%s: got %.40q", name, got)
		}
	}
	for _, name := range []string{"../go.mod", "/etc/passwd", "data", "data/none", "", "data//kernel"} {
		if f, err := b.Open(name); err == nil {
			f.Close()
			t.Errorf("opened %q", name)
		} else if e, ok := errors.AsType[*bundle.Error](err); !ok || e.Path != name || e.Ref != b.Reference() {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPlainDirectory(t *testing.T) {
	dir := writeDir(t, t.TempDir(), smallFiles())
	same(t, open(t, dir), bundle.KindDirectory, false)
	same(t, open(t, "file://"+dir), bundle.KindDirectory, false)
}

func TestPlainDirectoryKeepsToItself(t *testing.T) {
	dir := writeDir(t, t.TempDir(), smallFiles())
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.WriteFile(outside, []byte("x"), 0o644), os.Remove(filepath.Join(dir, "data", "kernel"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "data", "kernel")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	b := open(t, dir)
	if _, err := b.Open("data/kernel"); !errors.Is(err, bundle.ErrNoFile) {
		t.Errorf("a link to the outside: %v", err)
	}
	if _, err := b.Manifest(""); !errors.Is(err, bundle.ErrNoFile) {
		t.Errorf("a manifest with it: %v", err)
	}
	// A link inside is fine: bundles of the field have manifest.yaml as one.
	if err := errors.Join(os.Rename(filepath.Join(dir, "manifest.yaml"), filepath.Join(dir, "manifest-a.yaml")),
		os.Symlink("manifest-a.yaml", filepath.Join(dir, "manifest.yaml")), os.Remove(filepath.Join(dir, "data", "kernel")),
		os.WriteFile(filepath.Join(dir, "data", "kernel"), []byte("k"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Manifest(""); err != nil {
		t.Error(err)
	}
}

func TestFS(t *testing.T) {
	fsys := fstest.MapFS{}
	var zipped bytes.Buffer
	zw := zip.NewWriter(&zipped)
	for name, text := range smallFiles() {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	zr, err := zip.NewReader(bytes.NewReader(zipped.Bytes()), int64(zipped.Len()))
	if err != nil {
		t.Fatal(err)
	}
	layout := t.TempDir()
	if _, err := bundle.Create(t.Context(), writeDir(t, t.TempDir(), smallFiles()), layout); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		fsys   fs.FS
		digest bool
	}{"map": {fsys, false}, "zip, which cannot seek": {zr, false}, "layout": {os.DirFS(layout), true}} {
		t.Run(name, func(t *testing.T) {
			b, err := bundle.OpenFS(tc.fsys, bundle.WithCacheDir(t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			same(t, b, bundle.KindFS, tc.digest)
			f, err := b.Open("data/kernel")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			buf := make([]byte, 6)
			if _, err := f.Seek(6, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(f, buf); err != nil || string(buf) != "kernel" {
				t.Errorf("got %q, %v", buf, err)
			}
		})
	}
}

func TestLayouts(t *testing.T) {
	cache := bundle.WithCacheDir(t.TempDir())
	src := writeDir(t, t.TempDir(), smallFiles())
	layout, tarball := filepath.Join(t.TempDir(), "layout"), filepath.Join(t.TempDir(), "bundle.tar")
	digest, err := bundle.Create(t.Context(), src, layout, bundle.WithTag("v1"))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := bundle.Create(t.Context(), src, tarball); err != nil || d != digest {
		t.Fatalf("%s, %v; want %s", d, err, digest)
	}
	for _, suffix := range []string{"", ":v1", "@" + digest} {
		same(t, open(t, layout+suffix, cache), bundle.KindLayout, true)
	}
	for _, suffix := range []string{"", ":latest", "@" + digest} {
		same(t, open(t, tarball+suffix, cache), bundle.KindTar, true)
	}
	for _, ref := range []string{layout + ":v2", tarball + ":v1"} {
		if _, err := bundle.Open(t.Context(), ref, cache); !errors.Is(err, bundle.ErrNotFound) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	// A second bundle in the same layout: now a tag is needed.
	other := smallFiles()
	other["data/kernel"] = "other"
	second, err := bundle.Create(t.Context(), writeDir(t, t.TempDir(), other), layout, bundle.WithTag("v2"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(t.Context(), layout, cache); !errors.Is(err, bundle.ErrNotFound) || !strings.Contains(err.Error(), "v1, v2") {
		t.Errorf("no tag: %v", err)
	}
	same(t, open(t, layout+":v1", cache), bundle.KindLayout, true)
	if b := open(t, layout+":v2", cache); b.Digest() != second || read(t, b, "data/kernel") != "other" {
		t.Error("the second bundle is wrong")
	}
	// Damage is found.
	damaged := filepath.Join(layout, "blobs", "sha256", filepath.Base(blobPath("", []byte("other"))))
	if err := errors.Join(os.Chmod(damaged, 0o644), os.WriteFile(damaged, []byte("OTHER"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(t.Context(), layout+":v2", bundle.WithCacheDir(t.TempDir())); !errors.Is(err, bundle.ErrDigest) {
		t.Errorf("damaged layout: %v", err)
	}
}

func TestOtherManifestForms(t *testing.T) {
	host := startRegistry(t, nil)
	d := push(t, host, "b", "v1", smallBundle()...)
	cache := bundle.WithCacheDir(t.TempDir())
	index := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[{"mediaType":"` +
		ocispec.MediaTypeImageManifest + `","digest":"` + string(d) + `","size":` + sizeOf(t, host, d) + `}]}`
	putManifest(t, host, "b", "index", ocispec.MediaTypeImageIndex, []byte(index))
	same(t, open(t, host+"/b:index", cache), bundle.KindRegistry, true)
	same(t, open(t, host+"/b:index", cache, bundle.WithOffline()), bundle.KindRegistry, true)
}

func TestSeveralManifests(t *testing.T) {
	files := smallFiles()
	files["manifest-other.yaml"] = strings.Replace(smallManifest, "name: small", "name: other", 1)
	files["broken.yaml"] = "kind: Pod\n"
	b := open(t, writeDir(t, t.TempDir(), files))
	if names, err := b.Manifests(); err != nil || !slices.Equal(names, []string{"broken.yaml", "manifest-other.yaml", "manifest.yaml"}) {
		t.Errorf("%q, %v", names, err)
	}
	if m, err := b.Manifest("manifest-other.yaml"); err != nil || m.Name != "other" || m.File() != "manifest-other.yaml" {
		t.Errorf("%+v, %v", m, err)
	}
	var me *bundle.ManifestError
	if _, err := b.Manifest("broken.yaml"); !errors.As(err, &me) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Manifest("manifest-none.yaml"); !errors.Is(err, bundle.ErrNoManifest) || !strings.Contains(err.Error(), "manifest-other.yaml") {
		t.Errorf("got %v", err)
	}
	if _, err := b.Manifest("../manifest.yaml"); !errors.Is(err, bundle.ErrUnsafePath) {
		t.Errorf("got %v", err)
	}
}

func TestManifestAgainstTheFiles(t *testing.T) {
	manifest := strings.NewReplacer("0x84000000", "0x82000100", "data/dtbs/a.dtb", "data/dtbs/missing.dtb").Replace(smallManifest) +
		"      b:\n        file: data/dtbs/a.dtb\n      empty:\n        file: data/empty\n"
	files := smallFiles()
	files["manifest.yaml"], files["data/empty"] = manifest, ""
	b := open(t, writeDir(t, t.TempDir(), files))
	_, err := b.Manifest("")
	var me *bundle.ManifestError
	if !errors.As(err, &me) || !errors.Is(err, bundle.ErrNoFile) {
		t.Fatalf("got %v", err)
	}
	want := []string{
		"16:14: spec.dtb.variants.b.address: data/dtbs/a.dtb would be loaded to 0x82000100, into data/kernel, which takes 0x82000000 to 0x8200176f",
		`19:15: spec.dtb.variants.a.file: no such file in the bundle: "data/dtbs/missing.dtb"`,
		`23:15: spec.dtb.variants.empty.file: "data/empty" is empty`,
	}
	for _, w := range want {
		if !slices.ContainsFunc(me.Problems, func(p bundle.Problem) bool { return strings.HasSuffix(p.Error(), w[strings.Index(w, "spec"):]) }) {
			t.Errorf("%q is missing in %v", w, err)
		}
	}
	if len(me.Problems) != len(want) {
		t.Errorf("got %d problems: %v", len(me.Problems), err)
	}
}

func TestStrictAndWarnings(t *testing.T) {
	files := smallFiles()
	files["manifest.yaml"] += "extra: 1\n"
	dir := writeDir(t, t.TempDir(), files)
	b := open(t, dir)
	if _, err := b.Manifest(""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Manifest(""); err != nil {
		t.Fatal(err)
	}
	if w := b.Warnings(); !slices.Equal(w, []string{"manifest manifest.yaml:20:1: extra: unknown field"}) {
		t.Errorf("warnings %q", w)
	}
	var me *bundle.ManifestError
	if _, err := open(t, dir, bundle.WithStrict()).Manifest(""); !errors.As(err, &me) || len(me.Problems) != 1 {
		t.Errorf("strict: %v", err)
	}
}

func TestClosedBundle(t *testing.T) {
	b, err := bundle.Open(t.Context(), writeDir(t, t.TempDir(), smallFiles()))
	if err != nil {
		t.Fatal(err)
	}
	f, err := b.Open("data/kernel")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	if _, err := b.Manifest(""); !errors.Is(err, bundle.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if data, err := io.ReadAll(f); err != nil || len(data) != 6000 {
		t.Errorf("a file that was open: %d bytes, %v", len(data), err)
	}
}

// TestArtifactManifest reads the form that oras 0.15 and 0.16 pushed.
func TestArtifactManifest(t *testing.T) {
	var layers []string
	var blobs [][]byte
	for _, l := range smallBundle() {
		layers, blobs = append(layers, layerJSON(l.title, "application/octet-stream", "", l.data)), append(blobs, l.data)
	}
	manifest := `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[` + strings.Join(layers, ",") + `]}`
	b, err := bundle.OpenFS(layoutFS([]byte(manifest), blobs...), bundle.WithCacheDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	same(t, b, bundle.KindFS, true)
}
