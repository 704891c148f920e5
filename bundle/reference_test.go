package bundle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dutflash/dutflash/bundle"
)

// asked is a transport that knows nothing and remembers the first request.
type asked struct{ url atomic.Pointer[string] }

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	u := r.URL.String()
	a.url.CompareAndSwap(nil, &u)
	return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

// TestReferenceRules: references mean what they mean to docker and oras.
func TestReferenceRules(t *testing.T) {
	noCredentials(t)
	digest := "sha256:" + strings.Repeat("0", 64)
	for ref, want := range map[string]string{
		"app":                                   "https://registry-1.docker.io/v2/library/app/manifests/latest",
		"app:v1":                                "https://registry-1.docker.io/v2/library/app/manifests/v1",
		"org/app":                               "https://registry-1.docker.io/v2/org/app/manifests/latest",
		"docker.io/app":                         "https://registry-1.docker.io/v2/library/app/manifests/latest",
		"index.docker.io/org/app":               "https://registry-1.docker.io/v2/org/app/manifests/latest",
		"quay.io/jumpstarter-dev/b:latest":      "https://quay.io/v2/jumpstarter-dev/b/manifests/latest",
		"oci://quay.io/org/b":                   "https://quay.io/v2/org/b/manifests/latest",
		"quay.io/org/b:v1@" + digest:            "https://quay.io/v2/org/b/manifests/" + digest,
		"registry.lab:5000/b":                   "https://registry.lab:5000/v2/b/manifests/latest",
		"192.168.1.1/b":                         "https://192.168.1.1/v2/b/manifests/latest",
		"localhost.example/b":                   "https://localhost.example/v2/b/manifests/latest",
		"localhost/b":                           "http://localhost/v2/b/manifests/latest",
		"localhost:5000/deep/er/b:v1":           "http://localhost:5000/v2/deep/er/b/manifests/v1",
		"127.0.0.1:5000/b":                      "http://127.0.0.1:5000/v2/b/manifests/latest",
		"127.1.2.3/b":                           "http://127.1.2.3/v2/b/manifests/latest",
		"[::1]:5000/b":                          "http://[::1]:5000/v2/b/manifests/latest",
		"oci://internal/no-such-thing-anywhere": "https://registry-1.docker.io/v2/internal/no-such-thing-anywhere/manifests/latest",
	} {
		t.Run(ref, func(t *testing.T) {
			a := &asked{}
			_, err := bundle.Open(t.Context(), ref, bundle.WithCacheDir(t.TempDir()), bundle.WithTransport(a))
			if !errors.Is(err, bundle.ErrNotFound) {
				t.Errorf("got %v", err)
			}
			if got := a.url.Load(); got == nil || *got != want {
				t.Errorf("asked for %s, want %s", *got, want)
			}
		})
	}
	a := &asked{}
	_, err := bundle.Open(t.Context(), "registry.lab/b", bundle.WithCacheDir(t.TempDir()), bundle.WithTransport(a), bundle.WithPlainHTTP(true))
	if got := a.url.Load(); got == nil || !strings.HasPrefix(*got, "http://registry.lab/") {
		t.Errorf("plain HTTP was asked for: %v, %v", got, err)
	}
}

// TestTokens pulls and pushes where tokens are wanted, as the large public
// registries do, also for those who have no account.
func TestTokens(t *testing.T) {
	noCredentials(t)
	var scopes atomic.Value
	wrap := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				user, pass, _ := r.BasicAuth()
				token := "anonymous"
				if user == "lab" && pass == secret {
					token = "member"
				}
				scopes.Store(fmt.Sprint(r.URL.Query()["scope"]))
				json.NewEncoder(w).Encode(map[string]string{"token": token})
				return
			}
			auth, scope := r.Header.Get("Authorization"), "pull"
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				scope = "pull,push"
			}
			if auth == "Bearer member" || auth == "Bearer anonymous" && scope == "pull" {
				h.ServeHTTP(w, r)
				return
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="lab",scope="repository:b:%s"`, r.Host, scope))
			w.WriteHeader(http.StatusUnauthorized)
		})
	}
	host := startRegistry(t, wrap)
	src := writeDir(t, t.TempDir(), smallFiles())
	if _, err := bundle.Push(t.Context(), src, host+"/b:v1", bundle.WithRetries(1)); !errors.Is(err, bundle.ErrUnauthorized) {
		t.Errorf("anonymous push: %v", err)
	}
	d, err := bundle.Push(t.Context(), src, host+"/b:v1", bundle.WithCredentials("lab", secret))
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := scopes.Load().(string); !strings.Contains(s, "push") {
		t.Errorf("scopes %q", s)
	}
	if b := open(t, host+"/b:v1", bundle.WithCacheDir(t.TempDir())); b.Digest() != d {
		t.Errorf("anonymous pull: %s", b.Digest())
	}
}
