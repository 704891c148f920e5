package bundle_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/dutflash/dutflash/bundle"
)

// noCredentials keeps the credentials of whoever runs the tests out of them.
func noCredentials(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for k, v := range map[string]string{"OCI_USERNAME": "", "OCI_PASSWORD": "", "REGISTRY_AUTH_FILE": "", "XDG_RUNTIME_DIR": dir,
		"XDG_CONFIG_HOME": dir, "DOCKER_CONFIG": filepath.Join(dir, "docker"), "HOME": dir} {
		t.Setenv(k, v)
	}
	return dir
}

// private makes a registry ask for user lab with password s3cr3t-of-the-lab.
func private(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, ok := r.BasicAuth()
		switch {
		case !ok:
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			w.WriteHeader(http.StatusUnauthorized)
		case user == "lab" && pass == "denied":
			w.WriteHeader(http.StatusForbidden)
		case user != "lab" || pass != secret:
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

const secret = "s3cr3t-of-the-lab"

func TestCredentials(t *testing.T) {
	open := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	public := httptest.NewServer(open)
	defer public.Close()
	push(t, strings.TrimPrefix(public.URL, "http://"), "b", "v1", smallBundle()...)
	srv := httptest.NewServer(private(open))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	basic := base64.StdEncoding.EncodeToString([]byte("lab:" + secret))
	auths := `{"auths":{"` + host + `":{"auth":"` + basic + `"}}}`
	write := func(t *testing.T, elem ...string) {
		t.Helper()
		p := filepath.Join(elem...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(auths), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		setup func(t *testing.T, home string)
		opts  []bundle.Option
		want  error
		text  string
	}{
		{"none", nil, nil, bundle.ErrUnauthorized, "there are none"},
		{"explicit", nil, []bundle.Option{bundle.WithCredentials("lab", secret)}, nil, ""},
		{"wrong", nil, []bundle.Option{bundle.WithCredentials("lab", "wrong-"+secret)}, bundle.ErrUnauthorized, "missing or wrong"},
		{"forbidden", nil, []bundle.Option{bundle.WithCredentials("lab", "denied")}, bundle.ErrUnauthorized, ""},
		{"environment", func(t *testing.T, _ string) { t.Setenv("OCI_USERNAME", "lab"); t.Setenv("OCI_PASSWORD", secret) }, nil, nil, ""},
		{"half of the environment", func(t *testing.T, _ string) { t.Setenv("OCI_USERNAME", "lab") }, nil, bundle.ErrUnauthorized, "only one of"},
		{"explicit before environment", func(t *testing.T, _ string) { t.Setenv("OCI_USERNAME", "lab"); t.Setenv("OCI_PASSWORD", "no") },
			[]bundle.Option{bundle.WithCredentials("lab", secret)}, nil, ""},
		{"docker", func(t *testing.T, home string) { write(t, home, "docker", "config.json") }, nil, nil, ""},
		{"podman of the session", func(t *testing.T, home string) { write(t, home, "containers", "auth.json") }, nil, nil, ""},
		{"podman by variable", func(t *testing.T, home string) {
			write(t, home, "mine.json")
			t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(home, "mine.json"))
		}, nil, nil, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			home := noCredentials(t)
			if tc.setup != nil {
				tc.setup(t, home)
			}
			var logged bytes.Buffer
			opts := append(tc.opts, bundle.WithCacheDir(t.TempDir()), bundle.WithRetries(1),
				bundle.WithLogger(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			b, err := bundle.Open(t.Context(), host+"/b:v1", opts...)
			if err == nil {
				b.Close()
			}
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
			}
			for _, s := range []string{secret, basic} {
				if strings.Contains(logged.String(), s) || err != nil && strings.Contains(err.Error(), s) {
					t.Errorf("a secret shows in %q or in the log %s", err, &logged)
				}
			}
			if logged.Len() == 0 {
				t.Error("nothing was logged, so nothing was proved")
			}
		})
	}
}

func TestCredentialHelper(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("the helper of this test is a shell script")
	}
	home := noCredentials(t)
	open := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	public := httptest.NewServer(open)
	defer public.Close()
	push(t, strings.TrimPrefix(public.URL, "http://"), "b", "v1", smallBundle()...)
	srv := httptest.NewServer(private(open))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	helper := "#!/bin/sh\ncat >/dev/null\necho '{\"ServerURL\":\"" + host + "\",\"Username\":\"lab\",\"Secret\":\"" + secret + "\"}'\n"
	if err := errors.Join(os.MkdirAll(filepath.Join(home, "docker"), 0o700),
		os.WriteFile(filepath.Join(home, "docker-credential-lab"), []byte(helper), 0o700)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", home+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, config := range map[string]string{"of the registry": `{"credHelpers":{"` + host + `":"lab"}}`, "of all": `{"credsStore":"lab"}`} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(home, "docker", "config.json"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := bundle.Open(t.Context(), host+"/b:v1", bundle.WithCacheDir(t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			b.Close()
		})
	}
}

func TestBadReferences(t *testing.T) {
	noCredentials(t)
	host := startRegistry(t, nil)
	push(t, host, "b", "v1", smallBundle()...)
	closed := httptest.NewServer(http.NotFoundHandler())
	nobody := strings.TrimPrefix(closed.URL, "http://")
	closed.Close()
	tests := []struct {
		name, ref string
		want      error
		text      string
		opts      []bundle.Option
	}{
		{"no such tag", host + "/b:v2", bundle.ErrNotFound, "has no " + host + "/b:v2", nil},
		{"no such repository", host + "/c:v1", bundle.ErrNotFound, "no such bundle", nil},
		{"no such digest", host + "/b@sha256:" + strings.Repeat("0", 64), bundle.ErrNotFound, "no such bundle", nil},
		{"tag left out", host + "/b", bundle.ErrNotFound, "understood as " + host + "/b:latest", nil},
		{"nobody listens", nobody + "/b:v1", bundle.ErrUnreachable, "connection refused", nil},
		{"no TLS", host + "/b:v1", bundle.ErrUnreachable, "speaks plain HTTP", []bundle.Option{bundle.WithPlainHTTP(false)}},
		{"bad tag", host + "/b:v 1", bundle.ErrReference, "want REGISTRY/REPOSITORY", nil},
		{"bad digest", host + "/b@sha256:12", bundle.ErrReference, "invalid digest", nil},
		{"upper case", host + "/B:v1", bundle.ErrReference, "invalid repository", nil},
		{"empty", "", bundle.ErrReference, "", nil},
		{"oci without anything", "oci://", bundle.ErrReference, "", nil},
		{"no such path", "./does/not/exist", bundle.ErrNotFound, "no file or directory", nil},
		{"no such file URL", "file:///does/not/exist", bundle.ErrNotFound, "no file or directory", nil},
		{"some file", "registry_test.go", bundle.ErrReference, "OCI layout", nil},
		{"directory without manifest", "internal", bundle.ErrNoManifest, "no YAML file", nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b, err := bundle.Open(t.Context(), tc.ref, append(tc.opts, bundle.WithCacheDir(t.TempDir()), bundle.WithRetries(1))...)
			if err == nil {
				b.Close()
			}
			var e *bundle.Error
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) || !errors.As(err, &e) || e.Ref != tc.ref {
				t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
			}
			for _, other := range []error{bundle.ErrNotFound, bundle.ErrUnreachable, bundle.ErrUnauthorized, bundle.ErrReference} {
				if other != tc.want && errors.Is(err, other) {
					t.Errorf("%v is also %v", err, other)
				}
			}
		})
	}
}

func TestUnknownHostIsUnreachable(t *testing.T) {
	noCredentials(t)
	dial := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "registry.example", IsNotFound: true}}
	}}
	_, err := bundle.Open(t.Context(), "registry.example/b:v1", bundle.WithCacheDir(t.TempDir()), bundle.WithTransport(dial))
	if !errors.Is(err, bundle.ErrUnreachable) || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got %v", err)
	}
}

func TestTLSRegistry(t *testing.T) {
	noCredentials(t)
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	plain := httptest.NewServer(h)
	defer plain.Close()
	push(t, strings.TrimPrefix(plain.URL, "http://"), "b", "v1", smallBundle()...)
	srv := httptest.NewTLSServer(h)
	defer srv.Close()
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	host := strings.TrimPrefix(srv.URL, "https://")
	opts := []bundle.Option{bundle.WithCacheDir(t.TempDir()), bundle.WithRetries(1), bundle.WithPlainHTTP(false)}
	if _, err := bundle.Open(t.Context(), host+"/b:v1", opts...); !errors.Is(err, bundle.ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	open(t, host+"/b:v1", append(opts, bundle.WithTLSConfig(&tls.Config{RootCAs: pool}))...)
}

// TestRegistryWithoutDigestHeader: not all of them answer HEAD in full.
func TestRegistryWithoutDigestHeader(t *testing.T) {
	noCredentials(t)
	strip := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&noDigest{w}, r)
		})
	}
	host := startRegistry(t, strip)
	d := push(t, host, "b", "v1", smallBundle()...)
	if b := open(t, host+"/b:v1", bundle.WithCacheDir(t.TempDir())); b.Digest() != string(d) {
		t.Errorf("got %s", b.Digest())
	}
}

type noDigest struct{ http.ResponseWriter }

func (w *noDigest) WriteHeader(status int) {
	w.Header().Del("Docker-Content-Digest")
	w.ResponseWriter.WriteHeader(status)
}

func TestWrongOptions(t *testing.T) {
	dir := writeDir(t, t.TempDir(), smallFiles())
	for name, opts := range map[string][]bundle.Option{
		"nil":                {nil},
		"empty cache":        {bundle.WithCacheDir("")},
		"half credentials":   {bundle.WithCredentials("lab", "")},
		"contradiction":      {bundle.WithOffline(), bundle.WithRequireFresh()},
		"two transports":     {bundle.WithTransport(http.DefaultTransport), bundle.WithTLSConfig(&tls.Config{})},
		"negative limit":     {bundle.WithLimits(bundle.Limits{Files: -1})},
		"no retry":           {bundle.WithRetries(0)},
		"no stall timeout":   {bundle.WithStallTimeout(0)},
		"no transfer at all": {bundle.WithParallel(0)},
		"tag":                {bundle.WithTag("v1")},
		"no tag":             {bundle.WithTag("a b")},
	} {
		t.Run(name, func(t *testing.T) {
			if b, err := bundle.Open(t.Context(), dir, opts...); err == nil {
				b.Close()
				t.Error("it was accepted")
			}
		})
	}
}
