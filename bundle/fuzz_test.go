package bundle_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dutflash/dutflash/bundle"
)

// layoutFS is an OCI layout with one manifest and some blobs.
func layoutFS(manifest []byte, blobs ...[]byte) fstest.MapFS {
	d := digest.FromBytes(manifest)
	fsys := fstest.MapFS{
		"oci-layout": {Data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		"index.json": {Data: fmt.Appendf(nil, `{"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, ocispec.MediaTypeImageManifest, d, len(manifest))},
	}
	for _, b := range append(blobs, manifest) {
		fsys["blobs/sha256/"+digest.FromBytes(b).Encoded()] = &fstest.MapFile{Data: b}
	}
	return fsys
}

func layerJSON(title, mediaType, notes string, data []byte) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.title":%q%s}}`,
		mediaType, digest.FromBytes(data), len(data), title, notes)
}

// safe checks what must hold of every bundle that was accepted.
func safe(t *testing.T, b *bundle.Bundle) {
	t.Helper()
	names, err := b.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name == "" || strings.HasPrefix(name, "/") || strings.Contains("/"+name+"/", "/../") || strings.Contains(name, `\`) {
			t.Errorf("accepted the path %q", name)
		}
		f, err := b.Open(name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		f.Close()
	}
}

func FuzzOCIManifest(f *testing.F) {
	yaml := []byte(smallManifest)
	good := layerJSON("manifest.yaml", "application/yaml", "", yaml)
	for _, layers := range []string{good, good + "," + good, layerJSON("../manifest.yaml", "application/yaml", "", yaml),
		layerJSON("./manifest.yaml", "", "", yaml), `{}`, `null`} {
		f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[` + layers + `]}`))
	}
	f.Add([]byte(`{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[` + good + `]}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		b, err := bundle.OpenFS(layoutFS(manifest, yaml), bundle.WithCacheDir(t.TempDir()))
		if err != nil {
			return
		}
		defer b.Close()
		safe(t, b)
	})
}

func FuzzFolderLayer(f *testing.F) {
	f.Add(tarGz(f, file("data/kernel", "k"), file("data/dtbs/a.dtb", "d")))
	f.Add(tarGz(f, file("data/../../x", "k")))
	f.Add(tarGz(f, link('2', "data/x", "/etc/passwd")))
	f.Add([]byte("\x1f\x8b"))
	f.Add([]byte{})
	yaml := []byte(smallManifest)
	f.Add(zstdOf(f, tarOf(f, file("data/a", "x"), file("data/b/c", "y"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		manifest := []byte(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[` + layerJSON("manifest.yaml", "application/yaml", "", yaml) + "," +
			layerJSON("data", "x/y", `,"io.deis.oras.content.unpack":"true"`, data) + `]}`)
		b, err := bundle.OpenFS(layoutFS(manifest, yaml, data), bundle.WithCacheDir(t.TempDir()), bundle.WithLimits(bundle.Limits{Size: 1 << 20, Files: 100}))
		if err != nil {
			return
		}
		defer b.Close()
		safe(t, b)
	})
}

// FuzzReference opens offline, so that no registry is ever asked.
func FuzzReference(f *testing.F) {
	for _, ref := range []string{"quay.io/org/bundle:v1", "ubuntu", "oci://localhost:5000/x", "a/b@sha256:12", "[::1]:5000/x:y", "oci://", ":", "@", "file://", "x:y:z", "0@0"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if strings.ContainsAny(ref, `/\`) && !strings.Contains(ref, ".io") {
			ref = "oci://" + ref // no walks through the disk of whoever fuzzes
		}
		b, err := bundle.Open(t.Context(), ref, bundle.WithOffline(), bundle.WithCacheDir(t.TempDir()))
		if err == nil {
			b.Close()
			return
		}
		var e *bundle.Error
		// What could be a user and a password in front is left out.
		if !errors.As(err, &e) || e.Ref != ref && (!strings.Contains(ref, "@") || !strings.HasSuffix(ref, strings.TrimPrefix(e.Ref, "oci://"))) {
			t.Errorf("%v does not say what was opened", err)
		}
	})
}
