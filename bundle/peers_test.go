package bundle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/internal/testtool"
)

const (
	getOras = "GOBIN=/usr/local/bin go install oras.land/oras/cmd/oras@v1.2.3"
	// bcrypt of the secret, which is the only form that the registry accepts.
	htpasswd = "lab:$2a$05$mwwanLeAdqSzF6EEnMZ1ueE18YgO/NPU6g2mwIgtcOk3U.cSwfMym\n"
)

// realRegistry runs Debian's docker-registry on the loopback interface.
func realRegistry(t *testing.T, auth bool) string {
	t.Helper()
	if auth {
		return testtool.Registry(t, htpasswd)
	}
	return testtool.Registry(t, "")
}

// oras runs the real oras command in dir.
func oras(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testtool.Need(t, "oras", getOras), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("oras %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestOrasPushes pulls what the real command pushes to the real registry, in
// the ways that bundles are pushed in the field.
func TestOrasPushes(t *testing.T) {
	noCredentials(t)
	host := realRegistry(t, false)
	dir := writeDir(t, t.TempDir(), smallFiles())
	typed := []string{"--plain-http", "--artifact-type", "application/vnd.oci.bundle.v1"}
	for name, files := range map[string][]string{
		"single-files":   {"manifest.yaml:application/yaml", "data/kernel:application/octet-stream", "data/dtbs/a.dtb:application/octet-stream"},
		"dotted-names":   {"./manifest.yaml:application/yaml", "./data/kernel:application/octet-stream", "./data/dtbs/a.dtb:application/octet-stream"},
		"folder":         {"manifest.yaml:application/yaml", "data"},
		"default-types":  {"manifest.yaml", "data/kernel", "data/dtbs"},
		"everything":     {"."},
		"folder-slashed": {"manifest.yaml:application/yaml", "data/"},
	} {
		t.Run(name, func(t *testing.T) {
			ref := host + "/boards/" + name + ":latest"
			oras(t, dir, append(append([]string{"push"}, typed...), append([]string{ref}, files...)...)...)
			cache := t.TempDir()
			b := open(t, ref, bundle.WithCacheDir(cache))
			same(t, b, bundle.KindRegistry, true)
			if want := oras(t, dir, "resolve", "--plain-http", ref); b.Digest() != want {
				t.Errorf("digest %s, oras says %s", b.Digest(), want)
			}
			same(t, open(t, ref, bundle.WithCacheDir(cache)), bundle.KindRegistry, true)
		})
	}
	layout := filepath.Join(t.TempDir(), "layout")
	oras(t, dir, "push", "--oci-layout", layout+":v1", "manifest.yaml:application/yaml", "data")
	same(t, open(t, layout+":v1", bundle.WithCacheDir(t.TempDir())), bundle.KindLayout, true)
	oras(t, dir, "push", "--image-spec", "v1.0", "--plain-http", host+"/boards/v1.0:latest", "manifest.yaml", "data/kernel", "data/dtbs/a.dtb")
	same(t, open(t, host+"/boards/v1.0", bundle.WithCacheDir(t.TempDir())), bundle.KindRegistry, true)
}

// TestOrasPulls reads with the real command what we make.
func TestOrasPulls(t *testing.T) {
	noCredentials(t)
	host := realRegistry(t, false)
	src := writeDir(t, t.TempDir(), smallFiles())
	ref := host + "/boards/small:v1"
	digest, err := bundle.Push(t.Context(), src, ref)
	if err != nil {
		t.Fatal(err)
	}
	if got := oras(t, src, "resolve", "--plain-http", ref); got != digest {
		t.Errorf("Push says %s, oras %s", digest, got)
	}
	manifest := oras(t, src, "manifest", "fetch", "--plain-http", ref)
	for _, want := range []string{`"artifactType":"application/vnd.oci.bundle.v1"`, `"mediaType":"application/yaml"`,
		`"org.opencontainers.image.title":"data/dtbs/a.dtb"`, `"mediaType":"application/vnd.oci.empty.v1+json"`} {
		if !strings.Contains(manifest, want) {
			t.Errorf("%s is missing in\n%s", want, manifest)
		}
	}
	check := func(args ...string) {
		t.Helper()
		to := t.TempDir()
		oras(t, to, append([]string{"pull"}, args...)...)
		for name, want := range smallFiles() {
			if got, err := os.ReadFile(filepath.Join(to, filepath.FromSlash(name))); err != nil || string(got) != want {
				t.Errorf("%v: %s: %v", args, name, err)
			}
		}
	}
	check("--plain-http", ref)
	layout, tarball := filepath.Join(t.TempDir(), "layout"), filepath.Join(t.TempDir(), "bundle.tar")
	for _, dest := range []string{layout, tarball} {
		if d, err := bundle.Create(t.Context(), src, dest, bundle.WithTag("v1")); err != nil || d != digest {
			t.Fatalf("%s: %s, %v", dest, d, err)
		}
		check("--oci-layout", dest+":v1")
	}
	// A bundle that oras copied is the same one.
	oras(t, src, "cp", "--from-oci-layout", "--to-plain-http", layout+":v1", host+"/boards/copy:v1")
	if b := open(t, host+"/boards/copy:v1", bundle.WithCacheDir(t.TempDir())); b.Digest() != digest {
		t.Errorf("the copy has digest %s", b.Digest())
	}
}

// TestPushMakesWhatOrasMakes: Jumpstarter's script pushes its bundles with the
// oras command. Ours are the same but for the time of creation and the order of
// the files, so that its own puller takes one as the other.
func TestPushMakesWhatOrasMakes(t *testing.T) {
	noCredentials(t)
	host := realRegistry(t, false)
	src := writeDir(t, t.TempDir(), smallFiles())
	if _, err := bundle.Push(t.Context(), src, host+"/ours:v1"); err != nil {
		t.Fatal(err)
	}
	oras(t, src, "push", "--plain-http", host+"/theirs:v1", "--artifact-type", "application/vnd.oci.bundle.v1", "./manifest.yaml:application/yaml",
		"./data/kernel:application/octet-stream", "./data/dtbs/a.dtb:application/octet-stream")
	manifest := func(name string) map[string]any {
		var m map[string]any
		if err := json.Unmarshal([]byte(oras(t, src, "manifest", "fetch", "--plain-http", host+name)), &m); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(m["layers"].([]any), func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return m
	}
	ours, theirs := manifest("/ours:v1"), manifest("/theirs:v1")
	delete(theirs, "annotations") // org.opencontainers.image.created
	delete(theirs["config"].(map[string]any), "data")
	if d := cmp.Diff(theirs, ours); d != "" {
		t.Errorf("oras's manifest (-) and ours (+):\n%s", d)
	}
}

func TestRealRegistryWithPassword(t *testing.T) {
	home := noCredentials(t)
	host := realRegistry(t, true)
	src := writeDir(t, t.TempDir(), smallFiles())
	ref := host + "/private/small:v1"
	if _, err := bundle.Push(t.Context(), src, ref); !errors.Is(err, bundle.ErrUnauthorized) {
		t.Errorf("push without credentials: %v", err)
	}
	digest, err := bundle.Push(t.Context(), src, ref, bundle.WithCredentials("lab", secret))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(t.Context(), ref, bundle.WithCacheDir(t.TempDir())); !errors.Is(err, bundle.ErrUnauthorized) {
		t.Errorf("pull without credentials: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), testtool.Need(t, "oras", getOras), "login", "--plain-http", "-u", "lab", "--password-stdin", host)
	cmd.Stdin = strings.NewReader(secret)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(home, "docker", "config.json")); err != nil {
		t.Fatal(err)
	}
	if b := open(t, ref, bundle.WithCacheDir(t.TempDir())); b.Digest() != digest {
		t.Errorf("got %s", b.Digest())
	}
	if _, err := bundle.Open(t.Context(), host+"/private/none:v1", bundle.WithCacheDir(t.TempDir())); !errors.Is(err, bundle.ErrNotFound) {
		t.Errorf("a tag that does not exist: %v", err)
	}
}

// TestRealRegistryLargeFile moves more than one buffer's worth both ways.
func TestRealRegistryLargeFile(t *testing.T) {
	noCredentials(t)
	host := realRegistry(t, false)
	files := smallFiles()
	files["data/kernel"] = strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB
	src := writeDir(t, t.TempDir(), files)
	var sent int64
	if _, err := bundle.Push(t.Context(), src, host+"/big:v1", bundle.WithProgress(func(p bundle.Progress) {
		if p.Path == "data/kernel" {
			sent = p.Done
		}
	})); err != nil {
		t.Fatal(err)
	}
	if sent != 16<<20 {
		t.Errorf("the last report was of %d bytes", sent)
	}
	var cached int
	if _, err := bundle.Push(t.Context(), src, host+"/big:v2", bundle.WithProgress(func(p bundle.Progress) {
		if p.Cached {
			cached++
		}
	})); err != nil || cached != 4 {
		t.Errorf("pushed again: %d blobs were there, %v", cached, err)
	}
	f, err := open(t, host+"/big:v2", bundle.WithCacheDir(t.TempDir())).Open("data/kernel")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if data, err := io.ReadAll(f); err != nil || string(data) != files["data/kernel"] {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}
