package bundle_test

import (
	"bytes"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/bundle"
)

func TestRetries(t *testing.T) {
	noCredentials(t)
	for _, status := range []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			g := &gate{}
			host := startRegistry(t, g.wrap)
			push(t, host, "b", "v1", smallBundle()...)
			var n atomic.Int64
			g.set(func(w http.ResponseWriter, r *http.Request) bool {
				if n.Add(1)%2 == 1 {
					w.WriteHeader(status)
					return true
				}
				return false
			})
			b := open(t, host+"/b:v1", bundle.WithCacheDir(t.TempDir()), bundle.WithParallel(1))
			if read(t, b, "data/dtbs/a.dtb") != "dtb" {
				t.Error("wrong content")
			}
			g.set(func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(status); return true })
			_, err := bundle.Open(t.Context(), host+"/b:v1", bundle.WithCacheDir(t.TempDir()), bundle.WithRetries(1))
			if !errors.Is(err, bundle.ErrUnreachable) || !strings.Contains(err.Error(), "keeps answering") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// busy is a transport that says once that it is busy, and then that it has
// nothing.
type busy struct {
	status int
	after  func() string
	asked  []time.Time
}

func (b *busy) RoundTrip(r *http.Request) (*http.Response, error) {
	b.asked = append(b.asked, time.Now())
	resp := &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Header: http.Header{}, Request: r}
	if len(b.asked) == 1 {
		resp.StatusCode = b.status
		resp.Header.Set("Retry-After", b.after())
	}
	return resp, nil
}

func TestRetryAfter(t *testing.T) {
	noCredentials(t)
	seconds := func(s string) func() string { return func() string { return s } }
	for _, tc := range []struct {
		name   string
		status int
		after  func() string
		wait   time.Duration // at least; 0: no second request
		want   error
	}{
		{"429 in seconds", http.StatusTooManyRequests, seconds("20"), 20 * time.Second, bundle.ErrNotFound},
		{"503 in seconds", http.StatusServiceUnavailable, seconds("59"), 59 * time.Second, bundle.ErrNotFound},
		{"date", http.StatusTooManyRequests, func() string { return time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat) }, 29 * time.Second, bundle.ErrNotFound},
		{"a date that is over", http.StatusTooManyRequests, func() string { return time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat) }, 100 * time.Millisecond, bundle.ErrNotFound},
		{"nonsense", http.StatusTooManyRequests, seconds("soon"), 100 * time.Millisecond, bundle.ErrNotFound},
		{"longer than anybody waits", http.StatusTooManyRequests, seconds("3600"), 0, bundle.ErrUnreachable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := &busy{status: tc.status, after: tc.after}
				_, err := bundle.Open(t.Context(), "registry.lab/b:v1", bundle.WithCacheDir(dir), bundle.WithTransport(b), bundle.WithRetries(1))
				if !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if tc.wait == 0 {
					if len(b.asked) != 1 {
						t.Errorf("asked %d times", len(b.asked))
					}
					return
				}
				if len(b.asked) < 2 {
					t.Fatal("not asked again")
				}
				// The clock is synctest's: it stands still but for the pause.
				if got := b.asked[1].Sub(b.asked[0]); got < tc.wait || got > tc.wait+5*time.Second {
					t.Errorf("asked again after %v, want %v", got, tc.wait)
				}
			})
		})
	}
}

// TestRetryAfterIsNoStall: a pause that the registry asks for may be longer than
// a transfer may be silent.
func TestRetryAfterIsNoStall(t *testing.T) {
	noCredentials(t)
	g := &gate{}
	host := startRegistry(t, g.wrap)
	push(t, host, "b", "v1", smallBundle()...)
	var mu sync.Mutex
	var asked []time.Time
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, filepath.Base(blobPath("", smallBundle()[1].data))) {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if asked = append(asked, time.Now()); len(asked) > 1 {
			return false
		}
		w.Header().Set("Retry-After", "2")
		return down(w, r)
	})
	open(t, host+"/b:v1", bundle.WithCacheDir(t.TempDir()), bundle.WithRetries(1), bundle.WithStallTimeout(time.Second))
	if len(asked) != 2 || asked[1].Sub(asked[0]) < 2*time.Second {
		t.Errorf("asked at %v, want two times, 2 s apart", asked)
	}
}

// TestBrokenDownloadGoesOn cuts the connection in the middle of a blob: the
// next request asks for the rest only.
func TestBrokenDownloadGoesOn(t *testing.T) {
	noCredentials(t)
	g := &gate{}
	host := startRegistry(t, g.wrap)
	layers := smallBundle()
	layers[1].data = bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	push(t, host, "b", "v1", layers...)
	var cut, resumed atomic.Bool
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		data := layers[1].data
		if !strings.HasSuffix(r.URL.Path, filepath.Base(blobPath("", data))) {
			return false
		}
		if cut.CompareAndSwap(false, true) {
			w.Header().Set("Content-Length", "1048576")
			w.Header().Set("Accept-Ranges", "bytes")
			w.Write(data[:500000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		if rng := r.Header.Get("Range"); rng != "" && !strings.HasPrefix(rng, "bytes=0-") {
			resumed.Store(true)
		}
		w.Header().Set("Accept-Ranges", "bytes")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return true
	})
	b := open(t, host+"/b:v1", bundle.WithCacheDir(t.TempDir()), bundle.WithParallel(1))
	if read(t, b, "data/kernel") != string(layers[1].data) {
		t.Error("wrong content")
	}
	if !cut.Load() || !resumed.Load() {
		t.Errorf("cut %v, resumed %v", cut.Load(), resumed.Load())
	}
}

func TestStalledRegistry(t *testing.T) {
	noCredentials(t)
	g := &gate{}
	host := startRegistry(t, g.wrap)
	push(t, host, "b", "v1", smallBundle()...)
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, filepath.Base(blobPath("", smallBundle()[1].data))) {
			w.Header().Set("Content-Length", "6000")
			w.Write([]byte("kern"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}
		return false
	})
	_, err := bundle.Open(t.Context(), host+"/b:v1", bundle.WithCacheDir(t.TempDir()), bundle.WithRetries(1), bundle.WithStallTimeout(time.Second))
	if !errors.Is(err, bundle.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}
