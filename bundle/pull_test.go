package bundle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dutflash/dutflash/bundle"
)

// startRegistry runs an in-process registry and returns its host:port.
func startRegistry(tb testing.TB, wrap func(http.Handler) http.Handler) string {
	tb.Helper()
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

type testLayer struct {
	title     string
	mediaType string
	data      []byte
	notes     map[string]string
	desc      *ocispec.Descriptor // instead of the true one
}

func blobPut(tb testing.TB, host, repo string, data []byte) digest.Digest {
	tb.Helper()
	d := digest.FromBytes(data)
	resp, err := http.Post("http://"+host+"/v2/"+repo+"/blobs/uploads/?digest="+string(d), "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		tb.Fatalf("blob upload: %s", resp.Status)
	}
	return d
}

// push puts an artefact made of layers into a registry, without our own code.
func push(tb testing.TB, host, repo, tag string, layers ...testLayer) digest.Digest {
	tb.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.oci.bundle.v1", Config: ocispec.DescriptorEmptyJSON}
	m.Config.Data = nil
	blobPut(tb, host, repo, []byte("{}"))
	for _, l := range layers {
		d := ocispec.Descriptor{MediaType: l.mediaType, Digest: digest.FromBytes(l.data), Size: int64(len(l.data)),
			Annotations: map[string]string{ocispec.AnnotationTitle: l.title}}
		if d.MediaType == "" {
			d.MediaType = "application/octet-stream"
		}
		if l.desc != nil {
			d = *l.desc
		}
		for k, v := range l.notes {
			d.Annotations[k] = v
		}
		blobPut(tb, host, repo, l.data)
		m.Layers = append(m.Layers, d)
	}
	data, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return putManifest(tb, host, repo, tag, ocispec.MediaTypeImageManifest, data)
}

func putManifest(tb testing.TB, host, repo, tag, mediaType string, data []byte) digest.Digest {
	tb.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+host+"/v2/"+repo+"/manifests/"+tag, bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		tb.Fatalf("manifest upload: %s", resp.Status)
	}
	return digest.FromBytes(data)
}

const smallManifest = `apiVersion: jumpstarter.dev/v1alpha1
kind: FlashBundleManifest
metadata:
  name: small
spec:
  manufacturer: Example
  bootcmd: "booti 0x82000000 - 0x84000000"
  default_target: emmc
  targets:
    emmc: /dev/mmcblk0
  kernel:
    file: data/kernel
    address: "0x82000000"
  dtb:
    default: a
    address: "0x84000000"
    variants:
      a:
        file: data/dtbs/a.dtb
`

func smallBundle() []testLayer {
	return []testLayer{
		{title: "manifest.yaml", mediaType: "application/yaml", data: []byte(smallManifest)},
		{title: "data/kernel", data: bytes.Repeat([]byte("kernel"), 1000)},
		{title: "data/dtbs/a.dtb", data: []byte("dtb")},
	}
}

func TestPullFromRegistry(t *testing.T) {
	host := startRegistry(t, nil)
	want := push(t, host, "boards/small", "v1", smallBundle()...)
	for _, ref := range []string{"/boards/small:v1", "/boards/small@" + string(want), "/boards/small:v1@" + string(want)} {
		for _, prefix := range []string{"", "oci://"} {
			t.Run(prefix+ref[:15], func(t *testing.T) {
				b, err := bundle.Open(t.Context(), prefix+host+ref, bundle.WithCacheDir(t.TempDir()))
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				if b.Digest() != string(want) || b.Kind() != bundle.KindRegistry || b.Reference() != prefix+host+ref {
					t.Errorf("got %s, %s, %s", b.Digest(), b.Kind(), b.Reference())
				}
				m, err := b.Manifest("")
				if err != nil {
					t.Fatal(err)
				}
				if m.Name != "small" || m.Spec.Kernel.File != "data/kernel" {
					t.Errorf("got %+v", m)
				}
				if got := read(t, b, "data/dtbs/a.dtb"); got != "dtb" {
					t.Errorf("got %q", got)
				}
				if w := b.Warnings(); len(w) != 0 {
					t.Errorf("warnings: %q", w)
				}
			})
		}
	}
}

func read(tb testing.TB, b *bundle.Bundle, name string) string {
	tb.Helper()
	f, err := b.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		tb.Fatal(err)
	}
	if n, err := b.Size(name); err != nil || n != int64(len(data)) {
		tb.Errorf("Size(%q) = %d, %v; read %d", name, n, err, len(data))
	}
	return string(data)
}

// sizeOf returns the size of a manifest, as JSON.
func sizeOf(tb testing.TB, host string, d digest.Digest) string {
	tb.Helper()
	resp, err := http.Head("http://" + host + "/v2/b/manifests/" + string(d))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.Header.Get("Content-Length")
}

// TestParallelLayers: as many layers as asked for are on their way at once, and
// no more.
func TestParallelLayers(t *testing.T) {
	noCredentials(t)
	layers := []testLayer{manifestLayer}
	for i := range 6 {
		layers = append(layers, testLayer{title: fmt.Sprintf("data/%d", i), data: fmt.Appendf(nil, "layer %d", i)})
	}
	layers = append(layers, smallBundle()[1:]...)
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := &gate{}
			host := startRegistry(t, g.wrap)
			push(t, host, "b", "v1", layers...)
			var now, most atomic.Int64
			var once sync.Once
			full := make(chan struct{})
			g.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
					return false
				}
				running := now.Add(1)
				defer now.Add(-1)
				for m := most.Load(); running > m && !most.CompareAndSwap(m, running); m = most.Load() {
				}
				if running == int64(n) {
					once.Do(func() { close(full) })
				}
				select { // the others come, or the test fails at the end
				case <-full:
				case <-time.After(30 * time.Second):
				}
				g.next.ServeHTTP(w, r)
				return true
			})
			open(t, host+"/b:v1", bundle.WithCacheDir(t.TempDir()), bundle.WithParallel(n))
			if most.Load() != int64(n) {
				t.Errorf("%d layers were on their way at once, want %d", most.Load(), n)
			}
		})
	}
}
