package image_test

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/image"
)

// TestHeadersAreTokens tries each character that RFC 9110 allows or not, in a
// name (5.6.2) and in a value (5.5).
func TestHeadersAreTokens(t *testing.T) {
	for c := range 256 {
		token := c > ' ' && c < 127 && !strings.ContainsRune("\"(),/:;<=>?@[\\]{}", rune(c))
		value := c == '\t' || c >= ' ' && c != 127
		s := string([]byte{byte(c)})
		if _, err := image.Open("http://h/f", image.WithHeader("X"+s, "v")); (err == nil) != token || err != nil && !errors.Is(err, image.ErrInvalid) {
			t.Errorf("name with %q: %v", s, err)
		}
		if _, err := image.Open("http://h/f", image.WithHeader("X", "a"+s+"b")); (err == nil) != value || err != nil && !errors.Is(err, image.ErrInvalid) {
			t.Errorf("value with %q: %v", s, err)
		}
		if _, err := image.Open("http://h/f", image.WithBearerToken("a"+s+"b")); (err == nil) != (c > ' ' && c < 127) || err != nil && !errors.Is(err, image.ErrInvalid) {
			t.Errorf("token with %q: %v", s, err)
		}
	}
	for name, opts := range map[string][]image.SourceOption{
		"empty name":         {image.WithHeader("", "v")},
		"space behind":       {image.WithHeader("X", "v ")},
		"twice":              {image.WithHeader("x-a", "1"), image.WithHeader("X-A", "2")},
		"token and header":   {image.WithBearerToken("t"), image.WithHeader("authorization", "Basic x")},
		"two tokens":         {image.WithBearerToken("t"), image.WithBearerToken("u")},
		"empty token":        {image.WithBearerToken("")},
		"injected":           {image.WithHeader("X", "v\r\nHost: other")},
		"If-Range":           {image.WithHeader("if-range", "x")},
		"Host":               {image.WithHeader("host", "x")},
		"CA file, not there": {image.WithCAFile("/does/not/exist")},
		"CA file, not PEM":   {image.WithCAFile(writeFile(t, "ca", []byte("hello")))},
	} {
		_, err := image.Open("http://h/f", opts...)
		if !errors.Is(err, image.ErrInvalid) && !errors.Is(err, image.ErrNotFound) || strings.Contains(err.Error(), "Basic x") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBearerTokenStaysWithItsServer follows redirects to another name of the
// same machine, to another port, from https to http, and back.
func TestBearerTokenStaysWithItsServer(t *testing.T) {
	raw := rawImage(mib)
	var leaked atomic.Int32
	var back string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		if r.URL.Path == "/back" {
			http.Redirect(w, r, back+"/file", http.StatusTemporaryRedirect)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}))
	defer other.Close()
	var asked atomic.Int32
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && strings.HasPrefix(r.Host, "localhost") && r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		if !strings.HasPrefix(r.Host, "localhost") && r.Header.Get("Authorization") != "Bearer t0ken" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		asked.Add(1)
		switch r.URL.Path {
		case "/port":
			http.Redirect(w, r, other.URL+"/file", http.StatusFound)
		case "/name":
			http.Redirect(w, r, strings.Replace(back, "127.0.0.1", "localhost", 1)+"/file", http.StatusMovedPermanently)
		case "/there-and-back":
			http.Redirect(w, r, other.URL+"/back", http.StatusSeeOther)
		default:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(handler))
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.HandlerFunc(handler))
	secure.TLS = &tls.Config{}
	secure.StartTLS()
	defer secure.Close()
	ca := writeFile(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	for _, tc := range []struct {
		name, url string
		want      error
	}{
		{"none", plain.URL + "/file", nil},
		{"port", plain.URL + "/port", nil},
		{"name", plain.URL + "/name", nil},
		{"there and back", plain.URL + "/there-and-back", nil},
		{"TLS to plain", secure.URL + "/port", image.ErrUnreachable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			back = tc.url[:strings.LastIndexByte(tc.url, '/')]
			before := asked.Load()
			p, err := prepare(t, open(t, tc.url, fast, image.WithBearerToken("t0ken"), image.WithCAFile(ca)), image.WithCacheDir(t.TempDir()), image.WithoutBmap())
			if !errors.Is(err, tc.want) || err != nil && strings.Contains(err.Error(), "t0ken") {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil {
				check(t, p, raw, raw)
			}
			if leaked.Load() != 0 || asked.Load() == before {
				t.Errorf("%d requests elsewhere had the token, the server saw %d", leaked.Load(), asked.Load()-before)
			}
		})
	}
}

// TestStalledDownloadGoesOn lets the first answer stop half way without an end;
// the second has to be a range guarded by the date that the first one had.
func TestStalledDownloadGoesOn(t *testing.T) {
	raw := rawImage(mib)
	changed := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	var gets atomic.Int32
	var second atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			switch gets.Add(1) {
			case 1:
				w.Header().Set("Last-Modified", changed.Format(http.TimeFormat))
				w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
				w.Write(raw[:mib/2])
				w.(http.Flusher).Flush()
				<-r.Context().Done() // the client has to give up
				return
			case 2:
				second.Store(r.Header.Get("Range") + " " + r.Header.Get("If-Range"))
			}
		}
		http.ServeContent(w, r, "", changed, bytes.NewReader(raw))
	}))
	defer srv.Close()
	src := open(t, srv.URL+"/i.raw", fast, image.WithStallTimeout(2*time.Second))
	p, err := prepare(t, src, image.WithCacheDir(t.TempDir()), image.WithoutBmap())
	if err != nil {
		t.Fatal(err)
	}
	check(t, p, raw, raw)
	if want := fmt.Sprintf("bytes=%d- %s", mib/2, changed.Format(http.TimeFormat)); second.Load() != want {
		t.Errorf("second request with %q, want %q", second.Load(), want)
	}
}

// TestServerThatAnswersWrongly has answers to a request for a range that are
// not what was asked for.
func TestServerThatAnswersWrongly(t *testing.T) {
	raw := rawImage(mib)
	for name, answer := range map[string]func(w http.ResponseWriter){
		"another range": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 5-%d/%d", mib-1, mib))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(raw[5:])
		},
		"a range without its place": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusPartialContent)
			w.Write(raw[5:])
		},
		"another size": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", mib/2, 2*mib-1, 2*mib))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(raw)
		},
		"no such range": func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"one"`)
				if r.Header.Get("If-Range") != "" {
					answer(w)
					return
				}
				http.ServeContent(&cutting{w, mib / 2}, r, "", time.Time{}, bytes.NewReader(raw))
			}))
			defer srv.Close()
			src := open(t, srv.URL+"/i.raw", fast)
			p, err := prepare(t, src, image.WithCacheDir(t.TempDir()), image.WithoutBmap())
			if err == nil {
				t.Errorf("%d bytes and no error", p.Size())
			}
		})
	}
}

const proxyEnv = "DUTFLASH_IMAGE_TEST_PROXIED"

// TestProxyOfTheEnvironment needs a process of its own, since net/http reads
// the environment once.
func TestProxyOfTheEnvironment(t *testing.T) {
	if url := os.Getenv(proxyEnv); url != "" {
		rc, err := open(t, url, image.WithRetries(0, 0)).Open(t.Context(), 0)
		if err != nil {
			fmt.Printf("\nfailed: %v\n", err)
			return
		}
		defer rc.Close()
		b, err := io.ReadAll(rc)
		fmt.Printf("\nread: %s %v\n", b, err)
		return
	}
	var direct atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Host != "images.invalid":
			direct.Add(1)
		case r.Header.Get("Proxy-Authorization") == "":
			w.WriteHeader(http.StatusProxyAuthRequired)
		default:
			fmt.Fprintf(w, "%s by the proxy", r.URL.Path)
		}
	}))
	defer proxy.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	with := func(url string) string { return strings.Replace(url, "http://", "http://joe:pr0xy-pass@", 1) }
	for _, tc := range []struct{ name, env, url, want string }{
		{"with password", "HTTP_PROXY=" + with(proxy.URL), "http://images.invalid/i.raw", "read: /i.raw by the proxy <nil>"},
		{"without password", "HTTP_PROXY=" + proxy.URL, "http://images.invalid/i.raw", "407 Proxy Authentication Required"},
		{"https", "HTTPS_PROXY=" + with(proxy.URL), "https://images.invalid/i.raw", "Forbidden"},
		{"nobody listens", "HTTP_PROXY=" + with(gone.URL), "http://images.invalid/i.raw", "refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyOfTheEnvironment$")
			cmd.Env = append(os.Environ(), "NO_PROXY=", "no_proxy=", "REQUEST_METHOD=", tc.env, proxyEnv+"="+tc.url)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tc.want) || strings.Contains(string(out), "pr0xy-pass") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// A program that has replaced http.DefaultTransport, as those that trace requests do,
// has not meant us.
func TestReplacedDefaultTransport(t *testing.T) {
	old := http.DefaultTransport
	defer func() { http.DefaultTransport = old }()
	http.DefaultTransport = refusing{}
	raw := rawImage(mib)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}))
	defer srv.Close()
	p, err := prepare(t, open(t, srv.URL+"/i.raw", fast), image.WithCacheDir(t.TempDir()), image.WithoutBmap())
	if err != nil {
		t.Fatal(err)
	}
	check(t, p, raw, raw)
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("not for you")
}
