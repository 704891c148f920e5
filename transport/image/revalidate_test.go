package image_test

import (
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
