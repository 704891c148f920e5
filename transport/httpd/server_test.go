package httpd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/httpd"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(b)
	return b
}

func start(tb testing.TB, opts ...httpd.Option) (*httpd.Server, string) {
	tb.Helper()
	s, err := httpd.New(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	tb.Cleanup(func() {
		_ = s.Close()
		if err := <-served; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func TestForeignClients(t *testing.T) {
	want := random(5_000_000)
	s, host := start(t)
	s.File("image", bytes.NewReader(want), int64(len(want)))
	var mu sync.Mutex
	var uploaded []byte
	s.Upload("log", 1000, func(_ context.Context, r io.Reader) error {
		b, err := io.ReadAll(r)
		mu.Lock()
		defer mu.Unlock()
		uploaded = b
		return err
	})
	for name, cmd := range map[string]func(out, url string) []string{
		"busybox": func(out, url string) []string {
			return []string{testtool.Need(t, "busybox", "apt-get install busybox-static"), "wget", "-q", "-c", "-O", out, url}
		},
		"curl": func(out, url string) []string {
			return []string{testtool.Need(t, "curl", "apt-get install curl"), "-sSf", "-C", "-", "-o", out, url}
		},
	} {
		for _, have := range []int{0, 1_000_001} {
			t.Run(fmt.Sprint(name, have), func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "out")
				if have > 0 {
					if err := os.WriteFile(out, want[:have], 0o600); err != nil {
						t.Fatal(err)
					}
				}
				before := s.Served("image")
				c := cmd(out, s.URL(host, "image"))
				if msg, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, msg)
				}
				if got, _ := os.ReadFile(out); !bytes.Equal(got, want) {
					t.Errorf("%d bytes differ from the %d", len(got), len(want))
				}
				if n := s.Served("image") - before; n != int64(len(want)-have) {
					t.Errorf("counted %d bytes", n)
				}
			})
		}
	}
	// Text: busybox wget 1.35 ends a posted file at its first NUL.
	text := []byte(strings.Repeat("mmcblk0 ok\n", 100))
	for _, n := range []int{1000, 1001} {
		in := filepath.Join(t.TempDir(), "in")
		if err := os.WriteFile(in, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		bb := testtool.Need(t, "busybox", "apt-get install busybox-static")
		msg, err := exec.Command(bb, "wget", "-q", "-O", "-", "--post-file", in, s.URL(host, "log")).CombinedOutput()
		if ok := n <= 1000; (err == nil) != ok {
			t.Errorf("upload of %d: %v %s", n, err, msg)
		}
		mu.Lock()
		if n == 1000 && !bytes.Equal(uploaded, text[:n]) {
			t.Errorf("uploaded %d bytes", len(uploaded))
		}
		mu.Unlock()
	}
}

func TestHidden(t *testing.T) {
	s, host := start(t)
	s.File("f", strings.NewReader("x"), 1)
	good := s.Path("f")
	var first string
	for _, p := range []string{"/", "/f", strings.TrimSuffix(good, "f"), good + "/", "/" + strings.Repeat("A", 26) + "/f", strings.ToLower(good)} {
		r, err := http.Get("http://" + host + p)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if first == "" {
			first = string(b)
		}
		if r.StatusCode != 404 || string(b) != first {
			t.Errorf("%s: %d %q", p, r.StatusCode, b)
		}
	}
}

// failing reads zeros up to a point and then fails.
type failing struct{ at int64 }

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.at {
		return 0, errors.New("disk on fire")
	}
	return len(p), nil
}

func TestContentFails(t *testing.T) {
	events := make(chan httpd.Event, 100)
	s, host := start(t, httpd.WithEvents(func(e httpd.Event) { events <- e }))
	for name, content := range map[string]io.ReaderAt{"broken": failing{500_000}, "short": bytes.NewReader(make([]byte, 500_000))} {
		s.File(name, content, 1_000_000)
		r, err := http.Get(s.URL(host, name))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		if err == nil || n >= 1_000_000 {
			t.Errorf("%s: client got %d bytes without an error", name, n)
		}
		for e := range events {
			if e.Done {
				if !errors.Is(e.Err, httpd.ErrContent) || e.Bytes != s.Served(name) {
					t.Errorf("%s: event %+v", name, e)
				}
				break
			}
		}
	}
}

func TestStall(t *testing.T) {
	events := make(chan httpd.Event, 1000)
	s, host := start(t, httpd.WithStallTimeout(50*time.Millisecond), httpd.WithEvents(func(e httpd.Event) { events <- e }))
	s.File("big", failing{1 << 40}, 1<<40)
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", s.Path("big"))
	for e := range events {
		if e.Done {
			if !errors.Is(e.Err, httpd.ErrStalled) {
				t.Errorf("got %v", e.Err)
			}
			return
		}
	}
}

func TestCloseCuts(t *testing.T) {
	s, host := start(t)
	s.File("big", failing{1 << 40}, 1<<40)
	r, err := http.Get(s.URL(host, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		t.Error("the body ended as if complete")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve after close: %v", err)
	}
}

func BenchmarkFile(b *testing.B) {
	const size = 256 << 20
	s, host := start(b)
	s.File("f", failing{size}, size)
	b.SetBytes(size)
	for b.Loop() {
		r, err := http.Get(s.URL(host, "f"))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		if err != nil || n != size {
			b.Fatal(n, err)
		}
	}
}
