package image_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"encoding/json"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/dutflash/dutflash/transport/image"
)

type layer struct {
	title, mediaType string
	data             []byte
}

// push puts an artefact into a registry and returns its reference.
func push(t *testing.T, host, name string, layers ...layer) string {
	t.Helper()
	repo, err := remote.NewRepository(host + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON}
	put := func(d ocispec.Descriptor, b []byte) {
		if err := repo.Push(t.Context(), d, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	put(m.Config, m.Config.Data)
	for _, l := range layers {
		d := content.NewDescriptorFromBytes(l.mediaType, l.data)
		if l.title != "" {
			d.Annotations = map[string]string{ocispec.AnnotationTitle: l.title}
		}
		put(d, l.data)
		m.Layers = append(m.Layers, d)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.PushReference(t.Context(), content.NewDescriptorFromBytes(m.MediaType, b), bytes.NewReader(b), "v1"); err != nil {
		t.Fatal(err)
	}
	return "oci://" + host + "/" + name + ":v1"
}

func archive(t *testing.T, files ...layer) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.title, Mode: 0o644, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		w.Write(f.data)
	}
	w.Close()
	return b.Bytes()
}

func TestOCI(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("OCI_USERNAME", "")
	t.Setenv("OCI_PASSWORD", "")
	var spoil string // digest of a blob to lie about
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/private") {
			if u, p, _ := r.BasicAuth(); u != "joe" || p != "hunter2" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
		}
		if spoil != "" && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, spoil) {
			w = &spoiler{ResponseWriter: w}
		}
		inner.ServeHTTP(w, r)
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	raw := rawImage(2 * mib)
	xz := pack(t, packers[0], raw)
	const file, tarType = "application/octet-stream", ocispec.MediaTypeImageLayer
	gzTar := pack(t, packers[2], archive(t, layer{"etc/motd", "", []byte("hello")}, layer{"disk/root.img.xz", "", xz}))
	for _, tc := range []struct {
		name   string
		layers []layer
		want   error
		stored []byte
	}{
		{"one-file", []layer{{"board.raw.xz", file, xz}}, nil, xz},
		{"as-oras-does", []layer{{"board.raw.xz", tarType, xz}}, nil, xz},
		{"untitled", []layer{{"", "application/vnd.board.disk+xz", xz}}, nil, xz},
		{"by-title", []layer{{"README.md", file, []byte("text")}, {"board.wic.xz", file, xz}}, nil, xz},
		{"two-images", []layer{{"a.img", file, raw}, {"b.img", file, xz}}, image.ErrAmbiguous, nil},
		{"container-disk", []layer{{"", ocispec.MediaTypeImageLayerGzip, gzTar}}, nil, xz},
		{"two-in-tar", []layer{{"", tarType, archive(t, layer{"a.img", "", raw}, layer{"b.img", "", raw})}}, image.ErrAmbiguous, nil},
		{"none-in-tar", []layer{{"", tarType, archive(t, layer{"motd", "", []byte("hello")})}}, image.ErrNotFound, nil},
		{"cut-tar", []layer{{"", tarType, archive(t, layer{"a.img", "", raw})[:mib]}}, image.ErrTruncated, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ref := push(t, host, tc.name, tc.layers...)
			cache := t.TempDir()
			for range 2 {
				p, err := prepare(t, open(t, ref, fast), image.WithCacheDir(cache))
				if !errors.Is(err, tc.want) {
					t.Fatalf("got %v, want %v", err, tc.want)
				}
				if err == nil {
					check(t, p, raw, tc.stored)
				}
				p.Close()
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		if _, err := prepare(t, open(t, "oci://"+host+"/none:v1"), image.WithCacheDir(t.TempDir())); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("lying registry", func(t *testing.T) {
		ref := push(t, host, "lies", layer{"a.img", file, raw})
		ref2 := push(t, host, "lies2", layer{"", tarType, archive(t, layer{"a.img", "", raw})})
		for ref, d := range map[string]digest.Digest{ref: digest.FromBytes(raw), ref2: digest.FromBytes(archive(t, layer{"a.img", "", raw}))} {
			spoil = d.String()
			if _, err := prepare(t, open(t, ref, fast), image.WithCacheDir(t.TempDir())); !errors.Is(err, image.ErrChecksum) {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("credentials", func(t *testing.T) {
		spoil = ""
		_, err := prepare(t, open(t, "oci://"+host+"/private/x:v1"), image.WithCacheDir(t.TempDir()))
		if !errors.Is(err, image.ErrUnauthorized) {
			t.Errorf("none: %v", err)
		}
		_, err = prepare(t, open(t, "oci://"+host+"/private/x:v1", image.WithOCICredentials("joe", "wrong-pass")), image.WithCacheDir(t.TempDir()))
		if !errors.Is(err, image.ErrUnauthorized) || strings.Contains(err.Error(), "wrong-pass") {
			t.Errorf("wrong: %v", err)
		}
		_, err = prepare(t, open(t, "oci://"+host+"/private/x:v1", image.WithOCICredentials("joe", "hunter2")), image.WithCacheDir(t.TempDir()))
		if !errors.Is(err, image.ErrNotFound) {
			t.Errorf("right: %v", err)
		}
	})
}

// spoiler flips a bit in the middle of an answer.
type spoiler struct {
	http.ResponseWriter
	n int
}

func (s *spoiler) Write(p []byte) (int, error) {
	b := bytes.Clone(p)
	if s.n <= 100_000 && s.n+len(b) > 100_000 {
		b[100_000-s.n] ^= 1
	}
	s.n += len(b)
	return s.ResponseWriter.Write(b)
}
