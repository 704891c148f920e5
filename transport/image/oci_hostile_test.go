package image_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dutflash/dutflash/transport/image"
)

// hostile serves manifests that say whatever they like, by digest and as v1.
func hostile(t *testing.T, first string, manifests map[string]any, blob http.HandlerFunc) string {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("OCI_USERNAME", "")
	t.Setenv("OCI_PASSWORD", "")
	texts := map[string][]byte{}
	types := map[string]string{}
	for name, m := range manifests {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		types[name] = ocispec.MediaTypeImageManifest
		if _, ok := m.(ocispec.Index); ok {
			types[name] = ocispec.MediaTypeImageIndex
		}
		texts[name] = b
		d := digest.FromBytes(b).String()
		texts[d], types[d] = b, types[name]
		if name == first {
			texts["v1"], types["v1"] = b, types[name]
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/v2/x/manifests/"); ok {
			b, ok := texts[rest]
			if !ok {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", types[rest])
			w.Header().Set("Docker-Content-Digest", digest.FromBytes(b).String())
			if r.Method == http.MethodHead {
				w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			} else {
				w.(http.Flusher).Flush() // no Content-Length to compare with
				w.Write(b)
			}
			return
		}
		blob(w, r)
	}))
	t.Cleanup(srv.Close)
	return "oci://" + strings.TrimPrefix(srv.URL, "http://") + "/x:v1"
}

func manifestOf(layers ...ocispec.Descriptor) ocispec.Manifest {
	return ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Layers: layers}
}

func TestHostileDescriptors(t *testing.T) {
	raw := rawImage(mib)
	good := digest.FromBytes(raw)
	layer := func(d digest.Digest, size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: "application/vnd.disk", Digest: d, Size: size}
	}
	for _, tc := range []struct {
		name  string
		layer ocispec.Descriptor
		want  error
	}{
		{"no algorithm", layer("foo", mib), image.ErrCorrupt},
		{"empty digest", layer("", mib), image.ErrCorrupt},
		{"short digest", layer("sha256:ab", mib), image.ErrCorrupt},
		{"path in the digest", layer("sha256:../../x", mib), image.ErrCorrupt},
		{"negative size", layer(good, -1), image.ErrCorrupt},
		{"another algorithm", layer(digest.SHA512.FromBytes(raw), mib), image.ErrUnsupportedFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ref := hostile(t, "m", map[string]any{"m": manifestOf(tc.layer)}, func(w http.ResponseWriter, _ *http.Request) { w.Write(rawImage(mib)) })
			if p, err := prepare(t, open(t, ref, fast), image.WithCacheDir(t.TempDir())); !errors.Is(err, tc.want) {
				t.Errorf("got %v and %v", p, err)
			}
		})
	}
}

// A manifest is small by definition, whatever the index says of it.
func TestHostileIndex(t *testing.T) {
	for _, size := range []int64{1 << 62, 1 << 40, -1} {
		index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("endless"), Size: size}}}
		asked := false
		ref := hostile(t, "i", map[string]any{"i": index}, func(http.ResponseWriter, *http.Request) { asked = true })
		if _, err := prepare(t, open(t, ref, fast), image.WithCacheDir(t.TempDir())); !errors.Is(err, image.ErrCorrupt) || asked {
			t.Errorf("%d bytes: %v, asked %v", size, err, asked)
		}
	}
}

// What a registry asked a password for goes to that registry and by the same
// protocol only, wherever a blob lies.
func TestRegistryTokenStaysWithItsServer(t *testing.T) {
	raw := rawImage(mib)
	var mu sync.Mutex
	var leaked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, h := range []string{"Authorization", "Referer"} {
			if v := r.Header.Get(h); v != "" {
				leaked = append(leaked, h+": "+v)
			}
		}
		w.Write(raw)
	}))
	defer elsewhere.Close()
	d := ocispec.Descriptor{MediaType: "application/vnd.disk", Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	b, err := json.Marshal(manifestOf(d))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "joe" || p != "hunter2" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, elsewhere.URL+"/blob", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(b).String())
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		if r.Method != http.MethodHead {
			w.Write(b)
		}
	}))
	defer srv.Close()
	ref := "oci://" + strings.TrimPrefix(srv.URL, "https://") + "/x:v1"
	rc, err := open(t, ref, fast, image.WithPlainHTTP(false), image.WithInsecureTLS(), image.WithOCICredentials("joe", "hunter2")).Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if _, err := io.Copy(io.Discard, rc); err != nil {
		t.Fatal(err)
	}
	if len(leaked) > 0 {
		t.Errorf("the other server was told %q", leaked)
	}
}

// FuzzOCIManifest sees that what a manifest says is refused, or can be worked with.
func FuzzOCIManifest(f *testing.F) {
	good := digest.FromString("x").String()
	for _, s := range []string{`{"layers":[{"digest":"` + good + `","size":1}]}`, `{"layers":[{"digest":"foo"}]}`, `{"layers":[{"digest":"sha256:../x","size":1}]}`,
		`{"manifests":[{"digest":"` + good + `","size":4611686018427387904}]}`, `{"manifests":[{"digest":":","platform":{"os":"unknown"}}]}`,
		`{"layers":[{"digest":"` + good + `","size":-1,"annotations":{"org.opencontainers.image.title":"../a.img"}}]}`, `null`, `[]`} {
		f.Add([]byte(s))
	}
	var manifest atomic.Pointer[[]byte]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := *manifest.Load()
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(b).String())
		if r.Method != http.MethodHead {
			w.Write(b)
		}
	}))
	defer srv.Close()
	src, err := image.Open("oci://"+strings.TrimPrefix(srv.URL, "http://")+"/x:v1", image.WithOCICredentials("joe", "x"), image.WithRetries(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		manifest.Store(&b)
		info, err := src.Info(t.Context())
		if err != nil {
			return
		}
		if strings.ContainsAny(info.Name, `/`) || info.Size < -1 || info.SHA256 != "" && len(info.SHA256) != 64 || !strings.Contains(info.Identity, "sha256:") {
			t.Errorf("%+v", info)
		}
	})
}
