package bundle_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dutflash/dutflash/bundle"
)

var manifestLayer = testLayer{title: "manifest.yaml", mediaType: "application/yaml", data: []byte(smallManifest)}

// announced is a layer whose descriptor lies.
func announced(title string, data []byte, size int64, d digest.Digest) testLayer {
	return testLayer{title: title, data: data, desc: &ocispec.Descriptor{MediaType: "application/octet-stream",
		Digest: d, Size: size, Annotations: map[string]string{ocispec.AnnotationTitle: title}}}
}

func TestHostileBundles(t *testing.T) {
	host := startRegistry(t, nil)
	kernel := []byte("kernel")
	thousands := []testLayer{manifestLayer}
	for i := range 3000 {
		thousands = append(thousands, testLayer{title: fmt.Sprintf("data/%d", i), data: kernel})
	}
	var manyFiles []entry
	for i := range 5000 {
		manyFiles = append(manyFiles, file(fmt.Sprintf("data/%d", i), ""))
	}
	zstdBomb := zstdOf(t, tarOf(t, file("data/zeros", string(make([]byte, 80<<20)))))
	// A frame header that asks for a window of 1 GiB (RFC 8878, 3.1.1.1.2), and
	// an empty last block.
	hugeWindow := []byte("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00")
	tests := []struct {
		name   string
		layers []testLayer
		want   error
		text   string
	}{
		{"title with dots", []testLayer{manifestLayer, {title: "../evil", data: kernel}}, bundle.ErrUnsafePath, `"../evil" contains ".."`},
		{"title with dots inside", []testLayer{manifestLayer, {title: "data/../../evil", data: kernel}}, bundle.ErrUnsafePath, `contains ".."`},
		{"absolute title", []testLayer{manifestLayer, {title: "/etc/cron.d/evil", data: kernel}}, bundle.ErrUnsafePath, "is absolute"},
		{"drive letter", []testLayer{manifestLayer, {title: `C:evil`, data: kernel}}, bundle.ErrUnsafePath, "drive letter"},
		{"backslash", []testLayer{manifestLayer, {title: `..\evil`, data: kernel}}, bundle.ErrUnsafePath, "backslash"},
		{"control character", []testLayer{manifestLayer, {title: "evil\x1b[2J", data: kernel}}, bundle.ErrUnsafePath, "control character"},
		{"empty title", []testLayer{manifestLayer, {title: "", data: kernel}}, bundle.ErrUnsafePath, "is empty"},
		{"duplicate title", []testLayer{manifestLayer, {title: "data/a", data: kernel}, {title: "data/a", data: []byte("b")}}, bundle.ErrDuplicatePath, `"data/a"`},
		{"duplicate title in disguise", []testLayer{manifestLayer, {title: "data/a", data: kernel}, {title: "./data/a", data: []byte("b")}}, bundle.ErrDuplicatePath, `"data/a"`},
		{"file as folder", []testLayer{manifestLayer, {title: "data", data: kernel}, {title: "data/a", data: []byte("b")}}, bundle.ErrDuplicatePath, "both a file and a folder"},
		{"folder layer against file layer", []testLayer{manifestLayer, {title: "data/k", data: kernel}, folder("data", tarGz(t, file("data/k", "x")))}, bundle.ErrDuplicatePath, `"data/k"`},
		{"symlink", []testLayer{manifestLayer, folder("data", tarGz(t, link(tar.TypeSymlink, "data/k", "/etc/passwd")))}, bundle.ErrUnsafePath, "is a link"},
		{"symlink inside", []testLayer{manifestLayer, folder("data", tarGz(t, file("data/a", "x"), link(tar.TypeSymlink, "data/k", "a")))}, bundle.ErrUnsafePath, "is a link"},
		{"hard link", []testLayer{manifestLayer, folder("data", tarGz(t, link(tar.TypeLink, "data/k", "../../etc/passwd")))}, bundle.ErrUnsafePath, "is a link"},
		{"device", []testLayer{manifestLayer, folder("data", tarGz(t, link(tar.TypeBlock, "data/k", "")))}, bundle.ErrUnsafePath, "no regular file"},
		{"tar entry with dots", []testLayer{manifestLayer, folder("data", tarGz(t, file("data/../../evil", "x")))}, bundle.ErrUnsafePath, `contains ".."`},
		{"absolute tar entry", []testLayer{manifestLayer, folder("data", tarGz(t, file("/etc/evil", "x")))}, bundle.ErrUnsafePath, "is absolute"},
		{"tar entry outside of its folder", []testLayer{manifestLayer, folder("data", tarGz(t, file("manifest.yaml", "x")))}, bundle.ErrUnsafePath, "outside of its folder"},
		{"tar entry twice", []testLayer{manifestLayer, folder("data", tarGz(t, file("data/a", "x"), file("data/a", "y")))}, bundle.ErrDuplicatePath, "twice"},
		{"folder that is no tar", []testLayer{manifestLayer, folder("data", bytes.Repeat([]byte("no tar"), 1000))}, nil, "tar"},
		{"folder that is no zstd", []testLayer{manifestLayer, folder("data", []byte("\x28\xb5\x2f\xfd and more"))}, nil, "data"},
		{"folder that is cut off in zstd", []testLayer{manifestLayer, folder("data", zstdBomb[:len(zstdBomb)/2])}, nil, "data"},
		{"decompression bomb in zstd", []testLayer{manifestLayer, folder("data", zstdBomb)}, bundle.ErrTooLarge, "decompression bomb"},
		{"symlink in zstd", []testLayer{manifestLayer, folder("data", zstdOf(t, tarOf(t, link(tar.TypeSymlink, "data/k", "/etc/passwd"))))}, bundle.ErrUnsafePath, "is a link"},
		{"zstd window that takes all memory", []testLayer{manifestLayer, folder("data", hugeWindow)}, nil, "window size exceeded"},
		{"folder with the wrong inner digest", []testLayer{manifestLayer, {title: "data", data: tarGz(t, file("data/k", "x")), notes: map[string]string{
			"io.deis.oras.content.unpack": "true", "io.deis.oras.content.digest": string(digest.FromString("other"))}}}, bundle.ErrDigest, "tar inside"},
		{"decompression bomb", []testLayer{manifestLayer, folder("data", bomb(t, 80<<20))}, bundle.ErrTooLarge, "decompression bomb"},
		{"thousands of layers", thousands, bundle.ErrTooLarge, "3001 layers"},
		{"thousands of files in a folder", []testLayer{manifestLayer, folder("data", tarGz(t, manyFiles...))}, bundle.ErrTooLarge, "more than 4096 files"},
		{"layer larger than announced", []testLayer{manifestLayer, announced("data/kernel", kernel, 3, digest.FromBytes(kernel))}, bundle.ErrDigest, "data/kernel"},
		{"layer smaller than announced", []testLayer{manifestLayer, announced("data/kernel", kernel, 300, digest.FromBytes(kernel))}, bundle.ErrDigest, "data/kernel"},
		{"huge announced layer", []testLayer{manifestLayer, announced("data/kernel", kernel, 1<<40, digest.FromBytes(kernel))}, bundle.ErrTooLarge, "the limit is"},
		{"sum of announced layers", []testLayer{manifestLayer, announced("data/a", kernel, 3<<30, digest.FromString("a")),
			announced("data/b", kernel, 3<<30, digest.FromString("b"))}, bundle.ErrTooLarge, "together"},
		{"negative size", []testLayer{manifestLayer, announced("data/kernel", kernel, -1, digest.FromBytes(kernel))}, bundle.ErrTooLarge, "-1 bytes"},
		{"same digest, two sizes", []testLayer{manifestLayer, {title: "data/a", data: kernel}, announced("data/b", kernel, 7, digest.FromBytes(kernel))}, bundle.ErrDigest, "announces"},
		{"nonsense digest", []testLayer{manifestLayer, announced("data/kernel", kernel, 6, "sha256:../../../../etc/passwd")}, nil, "digest"},
		{"unknown digest algorithm", []testLayer{manifestLayer, announced("data/kernel", kernel, 6, "md5:0123456789abcdef")}, nil, "digest"},
		{"flasher manifest of 2 MiB", []testLayer{{title: "manifest.yaml", data: bytes.Repeat([]byte("# padding\n"), 200<<10)}}, bundle.ErrTooLarge, "bytes of YAML"},
		{"no titles", []testLayer{{data: kernel, desc: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(kernel), Size: 6,
			Annotations: map[string]string{}}}}, bundle.ErrNoManifest, "container image"},
		{"no manifest", []testLayer{{title: "data/kernel", data: kernel}}, bundle.ErrNoManifest, "no YAML file"},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			repo := fmt.Sprintf("hostile/%d", i)
			push(t, host, repo, "v1", tc.layers...)
			refused(t, host+"/"+repo+":v1", tc.want, tc.text)
		})
	}
}

// refused opens and reads the manifest of a bundle that must not work, and
// looks for anything outside of the cache's own directories.
func refused(t *testing.T, ref string, want error, text string, opts ...bundle.Option) {
	t.Helper()
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "b", "cache")
	opts = append(opts, bundle.WithCacheDir(dir), bundle.WithRetries(1))
	b, err := bundle.Open(t.Context(), ref, opts...)
	if err == nil {
		_, err = b.Manifest("")
		b.Close()
	}
	if err == nil {
		t.Fatal("it was accepted")
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("got %v, want one that is %q", err, want)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("got %q, want %q in it", err, text)
	}
	if len(err.Error()) > 2000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
	werr := filepath.WalkDir(parent, func(p string, e os.DirEntry, err error) error {
		rel, _ := filepath.Rel(filepath.Join(dir, "dutflash-v1"), p)
		if err == nil && !e.IsDir() && (strings.HasPrefix(rel, "..") || strings.HasPrefix(rel, "tmp")) {
			t.Errorf("found %s", p)
		}
		return err
	})
	if werr != nil {
		t.Error(werr)
	}
}

// liar is a registry that answers with what it is told, whatever the digest.
func liar(t *testing.T, manifestType string, manifest []byte, blobs map[digest.Digest]func(http.ResponseWriter)) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", manifestType)
			w.Header().Set("Docker-Content-Digest", string(digest.FromBytes(manifest)))
			w.Header().Set("Content-Length", fmt.Sprint(len(manifest)))
			if r.Method != http.MethodHead {
				w.Write(manifest)
			}
		case blobs[digest.Digest(name)] != nil:
			blobs[digest.Digest(name)](w)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://") + "/evil:v1"
}

func ociManifest(t *testing.T, layers ...ocispec.Descriptor) []byte {
	t.Helper()
	data, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON, Layers: layers})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func titled(title string, d digest.Digest, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "application/yaml", Digest: d, Size: size, Annotations: map[string]string{ocispec.AnnotationTitle: title}}
}

func TestLyingRegistry(t *testing.T) {
	want := digest.FromString("what was promised")
	serve := func(chunks ...string) map[digest.Digest]func(http.ResponseWriter) {
		return map[digest.Digest]func(http.ResponseWriter){want: func(w http.ResponseWriter) {
			for _, c := range chunks {
				io.WriteString(w, c)
				w.(http.Flusher).Flush() // chunked, so without a Content-Length
			}
		}}
	}
	t.Run("wrong digest", func(t *testing.T) {
		ref := liar(t, ocispec.MediaTypeImageManifest, ociManifest(t, titled("manifest.yaml", want, 17)), serve("something, though"))
		refused(t, ref, bundle.ErrDigest, "manifest.yaml")
	})
	t.Run("endless layer", func(t *testing.T) {
		ref := liar(t, ocispec.MediaTypeImageManifest, ociManifest(t, titled("manifest.yaml", want, 17)),
			map[digest.Digest]func(http.ResponseWriter){want: func(w http.ResponseWriter) {
				for {
					if _, err := w.Write(make([]byte, 1<<20)); err != nil {
						return
					}
				}
			}})
		refused(t, ref, bundle.ErrDigest, "more than the 17 bytes")
	})
	t.Run("layer that ends early", func(t *testing.T) {
		ref := liar(t, ocispec.MediaTypeImageManifest, ociManifest(t, titled("manifest.yaml", want, 17)), serve("what"))
		refused(t, ref, bundle.ErrDigest, "4 bytes")
	})
	t.Run("flasher manifest of 1 GB", func(t *testing.T) {
		blobs := map[digest.Digest]func(http.ResponseWriter){want: func(w http.ResponseWriter) {
			t.Error("it was fetched")
			w.WriteHeader(http.StatusNotFound)
		}}
		ref := liar(t, ocispec.MediaTypeImageManifest, ociManifest(t, titled("manifest.yaml", want, 1000000000)), blobs)
		refused(t, ref, bundle.ErrTooLarge, `"manifest.yaml" announces 1000000000 bytes of YAML`)
	})
	t.Run("OCI manifest of 1 GB", func(t *testing.T) {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			w.Header().Set("Docker-Content-Digest", string(want))
			w.Header().Set("Content-Length", "1000000000")
			if r.Method != http.MethodHead {
				io.CopyN(w, zeroReader{}, 1000000000)
			}
		}))
		defer srv.Close()
		refused(t, strings.TrimPrefix(srv.URL, "http://")+"/evil:v1", bundle.ErrTooLarge, "1000000000 bytes")
	})
	t.Run("OCI manifest with another digest", func(t *testing.T) {
		good := ociManifest(t, titled("manifest.yaml", want, 17))
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			if r.Method == http.MethodHead {
				w.Header().Set("Docker-Content-Digest", string(want))
				w.Header().Set("Content-Length", fmt.Sprint(len(good)))
				return
			}
			w.Write(good)
		}))
		defer srv.Close()
		refused(t, strings.TrimPrefix(srv.URL, "http://")+"/evil:v1", bundle.ErrDigest, "")
	})
	t.Run("no JSON", func(t *testing.T) {
		refused(t, liar(t, ocispec.MediaTypeImageManifest, []byte("<html>"), nil), nil, "OCI manifest")
	})
	t.Run("some web page", func(t *testing.T) {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>hello</html>") }))
		defer srv.Close()
		refused(t, strings.TrimPrefix(srv.URL, "http://")+"/evil:v1", nil, "")
	})
	t.Run("index of indexes", func(t *testing.T) {
		inner, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageIndex, Digest: want, Size: 17}}})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, liar(t, ocispec.MediaTypeImageIndex, inner, nil), bundle.ErrNoManifest, "index")
	})
	t.Run("index of two", func(t *testing.T) {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: want, Size: 17}
		index, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{d, d}})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, liar(t, ocispec.MediaTypeImageIndex, index, nil), bundle.ErrNoManifest, "2 manifests")
	})
}

func TestLimitsCanBeChanged(t *testing.T) {
	host := startRegistry(t, nil)
	push(t, host, "b", "v1", smallBundle()...)
	refused(t, host+"/b:v1", bundle.ErrTooLarge, "the limit is 2", bundle.WithLimits(bundle.Limits{Layers: 2}))
	refused(t, host+"/b:v1", bundle.ErrTooLarge, "more than 2 files", bundle.WithLimits(bundle.Limits{Files: 2}))
	refused(t, host+"/b:v1", bundle.ErrTooLarge, "the limit is 1000", bundle.WithLimits(bundle.Limits{Size: 1000}))
	push(t, host, "b", "folder", manifestLayer, folder("data", tarGz(t, file("data/kernel", strings.Repeat("k", 20000)), file("data/dtbs/a.dtb", "d"))))
	refused(t, host+"/b:folder", bundle.ErrTooLarge, "unpack to more than 10000", bundle.WithLimits(bundle.Limits{Size: 10000}))
}

// sparseTar is a tar of two kilobytes with a file of size bytes, all hole, in
// the format of GNU tar 1.0 sparse files.
func sparseTar(name string, size int64) []byte {
	var b bytes.Buffer
	block := func(flag byte, name string, data string) {
		h := make([]byte, 512)
		copy(h, name)
		copy(h[100:], "0000644\x000000000\x000000000\x00")
		copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", len(data), 0))
		copy(h[148:], "        ")
		h[156] = flag
		copy(h[257:], "ustar\x0000")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		b.Write(h)
		b.WriteString(data)
		b.Write(make([]byte, -len(data)&511))
	}
	record := func(key, value string) string {
		s := " " + key + "=" + value + "\n"
		return fmt.Sprint(len(s)+2) + s
	}
	block('x', "pax", record("GNU.sparse.major", "1")+record("GNU.sparse.minor", "0")+
		record("GNU.sparse.name", name)+record("GNU.sparse.realsize", fmt.Sprint(size)))
	mapping := fmt.Sprintf("1\n%d\n0\n", size)
	block('0', name, mapping+strings.Repeat("\x00", 512-len(mapping)))
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

func TestSparseBomb(t *testing.T) {
	host := startRegistry(t, nil)
	small := sparseTar("data/kernel", 1000)
	push(t, host, "b", "small", manifestLayer, folder("data", small), testLayer{title: "a.dtb", data: []byte("d")})
	if got := read(t, open(t, host+"/b:small", bundle.WithCacheDir(t.TempDir())), "data/kernel"); got != strings.Repeat("\x00", 1000) {
		t.Fatalf("the test makes no sparse file that can be read: %d bytes", len(got))
	}
	push(t, host, "b", "bomb", manifestLayer, folder("data", sparseTar("data/kernel", 1<<40)))
	refused(t, host+"/b:bomb", bundle.ErrTooLarge, "decompression bomb")
}
