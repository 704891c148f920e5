package image_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

const (
	getOras = "GOBIN=/usr/local/bin go install oras.land/oras/cmd/oras@v1.2.3"
	// bcrypt of the password, which is the only form that the registry accepts.
	labPassword = "s3cr3t-of-the-lab"
	labHtpasswd = "lab:$2a$05$mwwanLeAdqSzF6EEnMZ1ueE18YgO/NPU6g2mwIgtcOk3U.cSwfMym\n"
)

// noCredentials keeps the credentials of whoever runs the tests out of them.
func noCredentials(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for k, v := range map[string]string{"OCI_USERNAME": "", "OCI_PASSWORD": "", "REGISTRY_AUTH_FILE": "", "XDG_RUNTIME_DIR": dir,
		"XDG_CONFIG_HOME": dir, "DOCKER_CONFIG": filepath.Join(dir, "docker"), "HOME": dir} {
		t.Setenv(k, v)
	}
}

// oras runs the real oras command in dir.
func oras(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testtool.Need(t, "oras", getOras), args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(labPassword)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("oras %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// ociDir has files as somebody would push them.
func ociDir(t *testing.T, raw, xz []byte) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string][]byte{
		"board.raw": raw, "board.raw.xz": xz, "README.md": []byte("how to flash it"), "notes.txt": []byte("notes"),
		"disk/other.img": raw, "disk/NOTES": []byte("hello"), "two/a.img": raw, "two/b.img": raw, "two/c.wic.xz": xz, "none/motd": []byte("hello"),
	}
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	tar := testtool.Need(t, "tar", "apt-get install tar")
	for _, args := range [][]string{{"-cf", "disk.tar", "disk"}, {"-czf", "disk.tar.gz", "disk"}, {"-czf", "packed.tgz", "disk/NOTES", "board.raw.xz"}} {
		if out, err := exec.Command(tar, append(args[:1:1], append([]string{filepath.Join(dir, args[1]), "-C", dir}, args[2:]...)...)...).CombinedOutput(); err != nil {
			t.Fatalf("tar: %v\n%s", err, out)
		}
	}
	return dir
}

// TestOrasPushesImages reads what the real command pushed to the real registry.
func TestOrasPushesImages(t *testing.T) {
	noCredentials(t)
	host := testtool.Registry(t, "")
	raw := rawImage(3 * mib)
	xz := pack(t, packers[0], raw)
	dir := ociDir(t, raw, xz)
	for _, tc := range []struct {
		name   string
		files  []string
		stored []byte
		want   error
		text   []string // in the error
	}{
		{"typed", []string{"board.raw.xz:application/x-xz"}, xz, nil, nil},
		{"default-type", []string{"board.raw.xz"}, xz, nil, nil},
		{"raw", []string{"board.raw"}, raw, nil, nil},
		{"readme-beside", []string{"README.md", "board.raw.xz", "notes.txt"}, xz, nil, nil},
		{"folder", []string{"disk"}, raw, nil, nil},
		{"tar", []string{"disk.tar:application/vnd.oci.image.layer.v1.tar"}, raw, nil, nil},
		{"tar-gz", []string{"disk.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip"}, raw, nil, nil},
		{"tgz-default-type", []string{"packed.tgz"}, xz, nil, nil},
		{"two-files", []string{"board.raw.xz", "board.raw", "README.md"}, nil, image.ErrAmbiguous, []string{"board.raw.xz", "board.raw ("}},
		{"no-image", []string{"README.md", "notes.txt"}, nil, image.ErrAmbiguous, []string{"README.md", "notes.txt"}},
		{"three-in-folder", []string{"two"}, nil, image.ErrAmbiguous, []string{"two/a.img", "two/b.img", "two/c.wic.xz"}},
		{"none-in-folder", []string{"none"}, nil, image.ErrNotFound, []string{"none/motd"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ref := host + "/images/" + tc.name + ":v1"
			oras(t, dir, append([]string{"push", "--plain-http", ref}, tc.files...)...)
			src := open(t, "oci://"+ref, fast)
			p, err := prepare(t, src, image.WithCacheDir(t.TempDir()))
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			for _, text := range tc.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is missing in %v", text, err)
				}
			}
			if err == nil {
				check(t, p, raw, tc.stored)
				info, err := src.Info(t.Context())
				if err != nil || len(tc.files) == 1 && info.Size >= 0 && info.Name != strings.Split(tc.files[0], ":")[0] {
					t.Errorf("%+v, %v", info, err)
				}
			}
		})
	}
	t.Run("connection breaks", func(t *testing.T) {
		var cuts, ranges atomic.Int32
		front := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
		front.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				ranges.Add(1)
			}
			if strings.Contains(r.URL.Path, "/blobs/") && cuts.Add(1) < 4 {
				w = &cutting{w, len(xz) / 5}
			}
			front.ServeHTTP(w, r)
		}))
		defer srv.Close()
		src := open(t, "oci://"+strings.TrimPrefix(srv.URL, "http://")+"/images/typed:v1", fast)
		p, err := prepare(t, src, image.WithCacheDir(t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		check(t, p, raw, xz)
		if cuts.Load() < 4 || ranges.Load() < 2 {
			t.Errorf("%d requests for the blob, %d with a range", cuts.Load(), ranges.Load())
		}
	})
}

func TestRealRegistryWithPassword(t *testing.T) {
	noCredentials(t)
	host := testtool.Registry(t, labHtpasswd)
	raw := rawImage(mib)
	dir := ociDir(t, raw, raw)
	ref := "oci://" + host + "/private/board:v1"
	basic := base64.StdEncoding.EncodeToString([]byte("lab:" + labPassword))
	try := func(want error, opts ...image.SourceOption) {
		t.Helper()
		var logged bytes.Buffer
		log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		log.Info("begin")
		p, err := prepare(t, open(t, ref, append(opts, fast, image.WithSourceLogger(log))...), image.WithCacheDir(t.TempDir()), image.WithLogger(log))
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if err == nil {
			check(t, p, raw, raw)
		}
		for _, s := range []string{labPassword, basic, "wrong-pass"} {
			if strings.Contains(logged.String(), s) || err != nil && strings.Contains(err.Error(), s) {
				t.Errorf("a secret shows in %v or in the log %s", err, &logged)
			}
		}
	}
	login := image.WithOCICredentials("lab", labPassword)
	try(image.ErrUnauthorized)
	try(image.ErrNotFound, login) // nothing was pushed yet
	oras(t, dir, "login", "--plain-http", "-u", "lab", "--password-stdin", host)
	oras(t, dir, "push", "--plain-http", host+"/private/board:v1", "board.raw")
	try(nil) // by what oras login has stored
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	try(image.ErrUnauthorized)
	try(image.ErrUnauthorized, image.WithOCICredentials("lab", "wrong-pass"))
	try(nil, login)
	t.Setenv("OCI_USERNAME", "lab")
	if _, err := image.Open(ref); !errors.Is(err, image.ErrUnauthorized) || !strings.Contains(err.Error(), "OCI_PASSWORD") {
		t.Errorf("half of the environment: %v", err)
	}
	t.Setenv("OCI_PASSWORD", labPassword)
	try(nil)
	t.Setenv("OCI_PASSWORD", "wrong-pass")
	try(image.ErrUnauthorized)
}
