package bundle_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/dutflash/dutflash/bundle"
)

// benchBundle is a bundle as large as real ones: a kernel of 27 MiB.
func benchBundle(b *testing.B) (ref string, size int64) {
	b.Helper()
	host := startRegistry(b, nil)
	layers := smallBundle()
	kernel := make([]byte, 27<<20)
	rng := rand.NewChaCha8([32]byte{})
	if _, err := io.ReadFull(rng, kernel); err != nil {
		b.Fatal(err)
	}
	layers[1].data = kernel
	push(b, host, "b", "v1", layers...)
	return host + "/b:v1", int64(len(kernel))
}

// BenchmarkOpenCold pulls from a registry on this machine into an empty cache.
func BenchmarkOpenCold(b *testing.B) {
	ref, size := benchBundle(b)
	b.SetBytes(size)
	for b.Loop() {
		dir := b.TempDir()
		x, err := bundle.Open(b.Context(), ref, bundle.WithCacheDir(dir))
		if err != nil {
			b.Fatal(err)
		}
		x.Close()
	}
}

// BenchmarkOpenWarm opens what is in the cache: the registry is asked what the
// tag means, and every blob is read and verified.
func BenchmarkOpenWarm(b *testing.B) {
	ref, size := benchBundle(b)
	dir := b.TempDir()
	b.SetBytes(size)
	for b.Loop() {
		x, err := bundle.Open(b.Context(), ref, bundle.WithCacheDir(dir))
		if err != nil {
			b.Fatal(err)
		}
		x.Close()
	}
}

// BenchmarkParseManifest reads a manifest with every field.
func BenchmarkParseManifest(b *testing.B) {
	data := []byte(smallManifest)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := bundle.ParseManifest("m", bytes.Clone(data)); err != nil {
			b.Fatal(err)
		}
	}
}
