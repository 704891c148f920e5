package bundle_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/bundle"
)

// TestSecretsOfReferences: what has a password where none belongs is refused
// without showing it.
func TestSecretsOfReferences(t *testing.T) {
	noCredentials(t)
	base := open(t, writeDir(t, t.TempDir(), fullFiles(t)))
	offline := open(t, writeDir(t, t.TempDir(), fullFiles(t)), bundle.WithOffline())
	for name, try := range map[string]func(logger bundle.Option) error{
		"oci://": func(l bundle.Option) error {
			_, err := bundle.Open(t.Context(), "oci://joe:hun/ter2@host.invalid/b:v1", l)
			return err
		},
		"bare": func(l bundle.Option) error {
			_, err := bundle.Open(t.Context(), "joe:hunter2@host.invalid/b:v1", l)
			return err
		},
		"with digest": func(l bundle.Option) error {
			_, err := bundle.Open(t.Context(), "joe:hunter2@host.invalid/b@sha256:"+strings.Repeat("0", 64), l)
			return err
		},
		"push": func(l bundle.Option) error {
			_, err := bundle.Push(t.Context(), t.TempDir(), "joe:hunter2@host.invalid/b:v1", l)
			return err
		},
		"https://": func(l bundle.Option) error {
			_, err := bundle.Open(t.Context(), "https://joe:hunter2@host.invalid/b:v1", l)
			return err
		},
		"override": func(bundle.Option) error {
			_, err := base.With(t.Context(), bundle.Overrides{Kernel: "http://joe:hun/ter2@host.invalid/k"})
			return err
		},
		"override %": func(bundle.Option) error {
			_, err := base.With(t.Context(), bundle.Overrides{Kernel: "https://joe:hun%zzter2@host.invalid/k"})
			return err
		},
		"offline": func(bundle.Option) error {
			_, err := offline.With(t.Context(), bundle.Overrides{Kernel: "https://joe:hunter2@host.invalid/k?token=hunter2"})
			return err
		},
		"manifestFile": func(bundle.Option) error {
			_, err := base.With(t.Context(), bundle.Overrides{ManifestFile: "HTTP://joe:hun?ter2@host.invalid/k"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			err := try(bundle.WithLogger(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, secret := range []string{"hun", "ter2"} {
				if strings.Contains(err.Error()+text.String(), secret) {
					t.Errorf("%v\n%s", err, text.String())
				}
			}
			if want := bundle.ErrReference; name != "offline" && !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
}

// witness notes the headers that it must not get.
type witness struct {
	mu   sync.Mutex
	seen []string
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, r.URL.Path)
	for _, h := range []string{"Authorization", "Referer"} {
		if v := r.Header.Get(h); v != "" {
			w.seen = append(w.seen, h+": "+v)
		}
	}
	rw.Write([]byte("from elsewhere"))
}

// TestTokenStaysWithTheRegistry: another port of the same host is another server, also
// two steps away.
func TestTokenStaysWithTheRegistry(t *testing.T) {
	noCredentials(t)
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	plain := httptest.NewServer(h)
	defer plain.Close()
	push(t, strings.TrimPrefix(plain.URL, "http://"), "b", "v1", smallBundle()...)
	w := &witness{}
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.ServeHTTP(httptest.NewRecorder(), r)
		if strings.HasPrefix(r.URL.Path, "/v2/") { // a second step, on the server that is another one already
			http.Redirect(rw, r, "/second"+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/second")
		h.ServeHTTP(rw, r)
	}))
	defer other.Close()
	srv := httptest.NewTLSServer(private(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(rw, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		h.ServeHTTP(rw, r)
	})))
	defer srv.Close()
	open(t, strings.TrimPrefix(srv.URL, "https://")+"/b:v1", bundle.WithCacheDir(t.TempDir()), bundle.WithPlainHTTP(false),
		bundle.WithTLSConfig(trusting(srv)), bundle.WithCredentials("lab", secret))
	for _, s := range w.seen {
		if !strings.HasPrefix(s, "/") {
			t.Errorf("the other server was told %s", s)
		}
	}
	if len(w.seen) == 0 {
		t.Error("nothing came from the other server")
	}
}

func trusting(srv *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return &tls.Config{RootCAs: pool}
}

// TestOverrideRedirects: nothing but TLS vouches for what an override's URL brings,
// and a signed URL is nobody else's business.
func TestOverrideRedirects(t *testing.T) {
	w := &witness{}
	other := httptest.NewServer(w)
	defer other.Close()
	redirect := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, other.URL+"/k", http.StatusFound)
	})
	plain, secure := httptest.NewServer(redirect), httptest.NewTLSServer(redirect)
	defer plain.Close()
	defer secure.Close()
	base := open(t, writeDir(t, t.TempDir(), fullFiles(t)), bundle.WithCacheDir(t.TempDir()), bundle.WithTLSConfig(trusting(secure)), bundle.WithRetries(1))
	b, err := base.With(t.Context(), bundle.Overrides{Kernel: plain.URL + "/k?signature=" + secret})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if len(w.seen) != 1 {
		t.Errorf("the other server saw %q", w.seen)
	}
	w.seen = nil
	b, err = base.With(t.Context(), bundle.Overrides{Kernel: secure.URL + "/k?signature=" + secret})
	if err == nil {
		b.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "redirect") || strings.Contains(err.Error(), secret) || len(w.seen) > 0 {
		t.Errorf("from https to http: %v, the other server saw %q", err, w.seen)
	}
}

// TestFailedOpenHoldsNothing: a bundle that nobody gets must not be in use.
func TestFailedOpenHoldsNothing(t *testing.T) {
	host := startRegistry(t, nil)
	push(t, host, "b", "v1", smallBundle()...)
	dir := t.TempDir()
	in := filepath.Join(dir, "dutflash-v1", "refs", digest.FromString(host+"/b:v1").Encoded()+".json", "in the way")
	if err := os.MkdirAll(in, 0o755); err != nil {
		t.Fatal(err)
	}
	if b, err := bundle.Open(t.Context(), host+"/b:v1", bundle.WithCacheDir(dir)); err == nil {
		t.Fatalf("%v was opened", b)
	}
	if err := os.RemoveAll(filepath.Dir(in)); err != nil {
		t.Fatal(err)
	}
	c, err := bundle.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Prune(t.Context(), bundle.PruneOptions{MaxSize: 1}); err != nil || p.InUse != 0 || p.Dropped != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}
