package image_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

// TestURLIsRevalidated changes each thing that a server tells about a file, and
// expects a download exactly when one of them is not what it was.
func TestURLIsRevalidated(t *testing.T) {
	type file struct {
		etag, modified string
		size           int // of zeros behind the start
	}
	const monday, tuesday = "Mon, 02 Nov 2026 10:00:00 GMT", "Tue, 03 Nov 2026 10:00:00 GMT"
	for _, tc := range []struct {
		name        string
		first, then file
		again       bool
	}{
		{"the same ETag", file{etag: `"1"`}, file{etag: `"1"`}, false},
		{"another ETag", file{etag: `"1"`}, file{etag: `"2"`}, true},
		{"another weak ETag", file{etag: `W/"1"`}, file{etag: `W/"2"`}, true},
		{"the same time", file{modified: monday}, file{modified: monday}, false},
		{"another time", file{modified: monday}, file{modified: tuesday}, true},
		{"the same time, another size", file{modified: monday}, file{modified: monday, size: 5}, true},
		{"the same ETag, another size", file{etag: `"1"`}, file{etag: `"1"`, size: 5}, true},
		{"nothing to tell by", file{}, file{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var now atomic.Pointer[file]
			var gets atomic.Int32
			body := func(f *file) []byte { return append([]byte("start of a disk"), make([]byte, f.size)...) }
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f := now.Load()
				if f.etag != "" {
					w.Header().Set("ETag", f.etag)
				}
				if f.modified != "" {
					w.Header().Set("Last-Modified", f.modified)
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(body(f))))
				if r.Method == http.MethodGet {
					gets.Add(1)
					w.Write(body(f))
				}
			}))
			defer srv.Close()
			cache := t.TempDir()
			for _, f := range []file{tc.first, tc.then} {
				now.Store(&f)
				p, err := prepare(t, open(t, srv.URL+"/i.raw"), image.WithCacheDir(cache), image.WithoutBmap())
				if err != nil {
					t.Fatal(err)
				}
				check(t, p, body(&f), body(&f))
			}
			if again := gets.Load() == 2; again != tc.again {
				t.Errorf("%d downloads", gets.Load())
			}
		})
	}
}

// TestReplacedBetweenHeadAndGet: what is fetched is not what HEAD told about. The
// cache must not give it out as that.
func TestReplacedBetweenHeadAndGet(t *testing.T) {
	old, replaced := rawImage(mib), bytes.Repeat([]byte("new image"), mib/9+1)[:mib]
	const monday, tuesday = "Mon, 02 Nov 2026 10:00:00 GMT", "Tue, 03 Nov 2026 10:00:00 GMT"
	for _, tc := range []struct {
		name, header  string
		before, after string
		always        bool // each answer has another value
	}{
		{"ETag", "ETag", `"1"`, `"2"`, false},
		{"weak ETag", "ETag", `W/"1"`, `W/"2"`, false},
		{"time", "Last-Modified", monday, tuesday, false},
		{"never the same", "ETag", "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var gone atomic.Bool
			var n, gets atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, value := old, tc.before
				if r.Method == http.MethodGet {
					gets.Add(1)
					gone.Store(true) // replaced just before the first GET
				}
				if gone.Load() {
					body, value = replaced, tc.after
				}
				if tc.always {
					value = fmt.Sprintf(`"%d"`, n.Add(1))
				}
				w.Header().Set(tc.header, value)
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				if r.Method == http.MethodGet {
					w.Write(body)
				}
			}))
			defer srv.Close()
			cache := t.TempDir()
			get := func(want []byte) {
				t.Helper()
				p, err := prepare(t, open(t, srv.URL+"/i.raw"), image.WithCacheDir(cache), image.WithoutBmap())
				if err != nil {
					t.Fatal(err)
				}
				check(t, p, want, want)
			}
			get(replaced)
			before := gets.Load()
			get(replaced)
			if again := gets.Load() > before; again != tc.always {
				t.Errorf("downloaded again: %v", again)
			}
			if tc.always {
				return
			}
			gone.Store(false) // the old one is put back for HEAD: the cache has none of it
			before = gets.Load()
			get(replaced)
			if gets.Load() == before {
				t.Error("what was fetched as the new one was given out as the old one")
			}
		})
	}
}
