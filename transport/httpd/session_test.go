package httpd_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/transport/httpd"
)

// TestSessions: two boards on one server see nothing of each other, and the end of
// one board's session cuts its requests only, also those that wait.
func TestSessions(t *testing.T) {
	s, host := start(t)
	one, err := s.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	one.File("image", strings.NewReader("one"), 3)
	two.File("image", strings.NewReader("second"), 6)
	get := func(url string) string {
		t.Helper()
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if a, b := get(one.URL(host, "image")), get(two.URL(host, "image")); a != "one" || b != "second" {
		t.Errorf("got %q and %q", a, b)
	}
	if body := get(s.URL(host, "image")); !strings.Contains(body, "404") {
		t.Errorf("the server's own session has a name of another: %q", body)
	}

	waits := make(chan struct{})
	one.Handle("wait", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(waits)
		<-r.Context().Done()
	}))
	large := bytes.Repeat([]byte{1}, 64<<20) // more than sockets hold
	one.File("large", bytes.NewReader(large), int64(len(large)))
	res, err := http.Get(one.URL(host, "large")) // its body is not read
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	ended := make(chan error, 1)
	go func() {
		res, err := http.Get(one.URL(host, "wait"))
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		ended <- err
	}()
	<-waits
	if err := errors.Join(one.Close(), one.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a request that was cut looks complete")
	}
	if n, err := io.Copy(io.Discard, res.Body); err == nil || n == int64(len(large)) {
		t.Errorf("a file that was cut came with %d bytes, error %v", n, err)
	}
	if a := one.Served("image"); a != 3 {
		t.Errorf("counted %d bytes, want 3", a)
	}
	if body := get(one.URL(host, "image")); !strings.Contains(body, "404") {
		t.Errorf("a closed session serves %q", body)
	}
	if b := get(two.URL(host, "image")); b != "second" {
		t.Errorf("the other session gives %q", b)
	}
	one.File("image", strings.NewReader("again"), 5)
	if body := get(one.URL(host, "image")); !strings.Contains(body, "404") {
		t.Errorf("a name that was given to a closed session is served: %q", body)
	}
	// Their handlers have ended, so that all is counted.
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if b, c := two.Served("image"), s.Served("image"); b != 12 || c != 0 {
		t.Errorf("counted %d bytes of two, and %d of the server's own session", b, c)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewSession(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a session of a closed server: %v", err)
	}
	if _, err := httpd.New(httpd.WithStallTimeout(-1)); err == nil {
		t.Error("a stall time below 0 was taken")
	}
}
