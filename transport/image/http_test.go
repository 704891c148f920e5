package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"encoding/pem"

	"github.com/dutflash/dutflash/transport/image"
)

// cutter serves b and breaks each answer off after a while.
type cutter struct {
	b        []byte
	etag     func() string
	ranges   bool
	requests atomic.Int32
	resumed  atomic.Int32
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if tag := c.etag(); tag != "" {
		w.Header().Set("ETag", tag)
	}
	if !c.ranges {
		r.Header.Del("Range")
	}
	if r.Method == http.MethodHead {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(c.b))
		return
	}
	c.requests.Add(1)
	if r.Header.Get("Range") != "" {
		c.resumed.Add(1)
		if r.Header.Get("If-Range") == "" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
	}
	http.ServeContent(&cutting{w, len(c.b)/3 + int(c.requests.Load())*100_000}, r, "", time.Time{}, bytes.NewReader(c.b))
}

type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

var fast = image.WithRetries(5, time.Millisecond)

func TestBrokenDownloadGoesOn(t *testing.T) {
	raw := rawImage(3 * mib)
	stored := pack(t, packers[0], raw)
	for _, tc := range []struct {
		name   string
		ranges bool
		etag   string
	}{{"ranges", true, `"one"`}, {"no ranges", false, `"one"`}, {"no validator", true, ""}, {"neither", false, ""}, {"weak", true, `W/"one"`}} {
		t.Run(tc.name, func(t *testing.T) {
			h := &cutter{b: stored, ranges: tc.ranges, etag: func() string { return tc.etag }}
			srv := httptest.NewServer(h)
			defer srv.Close()
			p, err := prepare(t, open(t, srv.URL+"/image.raw.xz", fast), image.WithCacheDir(t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			check(t, p, raw, stored)
			if h.requests.Load() < 2 {
				t.Error("nothing was broken off")
			}
			if want := tc.ranges && tc.etag == `"one"`; want != (h.resumed.Load() > 0) {
				t.Errorf("%d requests had a range", h.resumed.Load())
			}
		})
	}
}

func TestFileThatChangesDuringTheDownload(t *testing.T) {
	stored := pack(t, packers[0], rawImage(3*mib))
	var n atomic.Int32
	h := &cutter{b: stored, ranges: true}
	h.etag = func() string { return fmt.Sprintf(`"%d"`, max(2, n.Add(1))) } // the same for HEAD and the first GET
	srv := httptest.NewServer(h)
	defer srv.Close()
	_, err := prepare(t, open(t, srv.URL+"/image", fast), image.WithCacheDir(t.TempDir()), image.WithoutBmap())
	if !errors.Is(err, image.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// Not every server heeds If-Range. The rest of another file must not be put behind
// the beginning of this one.
func TestServerThatIgnoresIfRange(t *testing.T) {
	old, now := rawImage(3*mib), rawImage(3*mib)
	for i := range now {
		now[i] ^= 0x55
	}
	for _, header := range []string{"ETag", "Last-Modified"} {
		version := func(n int32) string {
			if header == "ETag" {
				return fmt.Sprintf(`"%d"`, n)
			}
			return time.Unix(1700000000+int64(n), 0).UTC().Format(http.TimeFormat)
		}
		var gets atomic.Int32
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
			if r.Method == http.MethodHead || gets.Add(1) == 1 {
				w.Header().Set(header, version(1))
				if r.Method != http.MethodHead {
					w = &cutting{w, mib}
				}
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(old))
				return
			}
			w.Header().Set(header, version(2))
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(now))
		}))
		p, err := prepare(t, open(t, srv.URL+"/image", fast), image.WithCacheDir(t.TempDir()), image.WithoutBmap())
		if !errors.Is(err, image.ErrChanged) {
			t.Errorf("%s: got %v, SHA-256 %q", header, err, p.SHA256())
		}
		srv.Close()
	}
}

func TestURLIsFoundInTheCacheUntilItChanges(t *testing.T) {
	raw := rawImage(mib)
	var gets atomic.Int32
	tag := atomic.Pointer[string]{}
	one, two := `"one"`, `"two"`
	tag.Store(&one)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", *tag.Load())
		if r.Method == http.MethodGet && r.URL.Path == "/i.raw" {
			gets.Add(1)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}))
	defer srv.Close()
	cache := t.TempDir()
	for i, want := range []int32{1, 1, 2} {
		if i == 2 {
			tag.Store(&two)
		}
		p, err := prepare(t, open(t, srv.URL+"/i.raw"), image.WithCacheDir(cache))
		if err != nil {
			t.Fatal(err)
		}
		check(t, p, raw, raw)
		p.Close()
		if gets.Load() != want {
			t.Errorf("round %d: %d downloads", i, gets.Load())
		}
	}
}

func TestSecretsStayWithTheirHost(t *testing.T) {
	raw := rawImage(mib)
	var seen atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization")+r.Header.Get("Private-Token")+r.Header.Get("Referer") != "" {
			seen.Add(1)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("Private-Token") != "pr1vate" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, other.URL+"/there?signature=abc", http.StatusFound)
	}))
	defer srv.Close()
	src := open(t, srv.URL+"/image?key=query", image.WithBearerToken("s3cret"), image.WithHeader("private-token", "pr1vate"))
	if _, err := prepare(t, src, image.WithCacheDir(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if seen.Load() != 0 {
		t.Error("credentials went on to another host")
	}
	user := strings.Replace(srv.URL, "http://", "http://joe:hunter2@", 1)
	_, err := prepare(t, open(t, user+"/image?key=query"), image.WithCacheDir(t.TempDir()))
	if !errors.Is(err, image.ErrUnauthorized) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "query") {
		t.Errorf("got %v", err)
	}
}

func TestServerFailures(t *testing.T) {
	hang := make(chan struct{})
	for _, tc := range []struct {
		name string
		h    http.HandlerFunc
		want error
	}{
		{"404", http.NotFound, image.ErrNotFound},
		{"403", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }, image.ErrUnauthorized},
		{"500", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, image.ErrUnreachable},
		{"loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, image.ErrUnreachable},
		{"stall", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(make([]byte, 5000))
			w.(http.Flusher).Flush()
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}, image.ErrUnreachable},
		{"login page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<!doctype html><html>") }, image.ErrUnsupportedFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(tc.h)
			defer srv.Close()
			src := open(t, srv.URL+"/image", image.WithRetries(1, time.Millisecond), image.WithStallTimeout(300*time.Millisecond))
			if _, err := prepare(t, src, image.WithCacheDir(t.TempDir())); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	close(hang)
}

func TestTLS(t *testing.T) {
	raw := rawImage(mib)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}))
	defer srv.Close()
	ca := writeFile(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	for name, opt := range map[string]image.SourceOption{"CA file": image.WithCAFile(ca), "insecure": image.WithInsecureTLS()} {
		if _, err := prepare(t, open(t, srv.URL+"/image", opt), image.WithCacheDir(t.TempDir())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := prepare(t, open(t, srv.URL+"/image", fast), image.WithCacheDir(t.TempDir())); !errors.Is(err, image.ErrUnreachable) {
		t.Errorf("unknown CA: %v", err)
	}
}

func TestBadSources(t *testing.T) {
	for _, tc := range []struct {
		ref  string
		opts []image.SourceOption
		want error
	}{
		{"", nil, image.ErrInvalid},
		{filepath.Join(t.TempDir(), "none.raw"), nil, image.ErrNotFound},
		{t.TempDir(), nil, image.ErrInvalid},
		{"ftp://host/file", nil, image.ErrInvalid},
		{"http:///file", nil, image.ErrInvalid},
		{"http://h/f", []image.SourceOption{image.WithHeader("a b", "c")}, image.ErrInvalid},
		{"http://h/f", []image.SourceOption{image.WithHeader("a", "b\r\nc: d")}, image.ErrInvalid},
		{"http://h/f", []image.SourceOption{image.WithHeader("a", "b"), image.WithHeader("A", "b")}, image.ErrInvalid},
		{"http://h/f", []image.SourceOption{image.WithHeader("range", "b")}, image.ErrInvalid},
		{"http://u:p@h/f", []image.SourceOption{image.WithBearerToken("b")}, image.ErrInvalid},
	} {
		if _, err := image.Open(tc.ref, tc.opts...); !errors.Is(err, tc.want) {
			t.Errorf("%q: got %v", tc.ref, err)
		}
	}
}
