package flasher_test

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// TestFlashWithoutTheRegistry: a board can be flashed while its registry is down,
// and the result says that the bundle may be an old one; unless that is forbidden.
func TestFlashWithoutTheRegistry(t *testing.T) {
	b, err := flashertest.NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	dir, ref := t.TempDir(), strings.TrimPrefix(srv.URL, "http://")+"/boards/sim:v1"
	if err := b.WriteBundle(dir); err != nil {
		t.Fatal(err)
	}
	digest, err := bundle.Push(t.Context(), dir, ref)
	if err != nil {
		t.Fatal(err)
	}
	cache, image := t.TempDir(), imageFile(t, "image.raw", testImage(mib+1))
	flash := func(opts ...bundle.Option) (*flasher.Result, error) {
		f, err := flasher.New(b.Open, b, ref, flasher.WithNetwork(b.Network()), flasher.WithCacheDir(cache),
			flasher.WithCycleWait(time.Millisecond), flasher.WithTranscript(t.Output()), flasher.WithBundleOptions(opts...))
		if err != nil {
			t.Fatal(err)
		}
		return f.Flash(t.Context(), image)
	}
	if res, err := flash(); err != nil || res.BundleDigest != digest || len(res.Warnings) > 0 {
		t.Fatalf("with the registry: %+v, %v", res, err)
	}
	srv.Close()
	res, err := flash()
	if err != nil {
		t.Fatal(err)
	}
	if res.BundleDigest != digest || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], digest) {
		t.Errorf("without the registry: bundle %s, warnings %q", res.BundleDigest, res.Warnings)
	}
	var typed *flasher.Error
	if _, err := flash(bundle.WithRequireFresh()); !errors.Is(err, bundle.ErrUnreachable) || !errors.As(err, &typed) || typed.Step != flasher.StepBundle {
		t.Errorf("with WithRequireFresh: %v", err)
	}
}

// TestUnknownFieldsReachTheResult: what a manifest has and nobody knows is said
// with the result, and refused where the caller is strict.
func TestUnknownFieldsReachTheResult(t *testing.T) {
	b, err := flashertest.NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	dir := t.TempDir()
	if err := b.WriteBundle(dir); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "manifest.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(file, "\ncolour: red\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	flash := func(opts ...bundle.Option) (*flasher.Result, error) {
		f, err := flasher.New(b.Open, b, dir, flasher.WithNetwork(b.Network()), flasher.WithCacheDir(t.TempDir()),
			flasher.WithCycleWait(time.Millisecond), flasher.WithTranscript(t.Output()), flasher.WithBundleOptions(opts...))
		if err != nil {
			t.Fatal(err)
		}
		return f.Flash(t.Context(), imageFile(t, "image.raw", testImage(mib)))
	}
	res, err := flash()
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "colour: unknown field") {
		t.Errorf("warnings %q", res.Warnings)
	}
	var bad *bundle.ManifestError
	if _, err := flash(bundle.WithStrict()); !errors.As(err, &bad) || len(bad.Problems) != 1 || bad.Problems[0].Path != "colour" {
		t.Errorf("strict: %v", err)
	}
}
