package flasher_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

// TestGetterOnRealCurl runs the shell fragment with the real curl against a TLS
// server that wants a token and a header with every awkward character.
func TestGetterOnRealCurl(t *testing.T) {
	testtool.Need(t, "curl", "apt-get install curl")
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	const odd = `a "quoted" \ value with 'both' and $HOME and #`
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("X-Odd") != odd {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Write([]byte("the image"))
	}))
	srv.Config.ErrorLog = nil
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	headers := []string{"X-Odd: " + odd, "Authorization: Bearer s3cret"}
	for _, tc := range []struct {
		name     string
		headers  []string
		ca       bool
		insecure bool
		want     string // "" is a failure
	}{
		{"CA file", headers, true, false, "the image"},
		{"insecure", headers, false, true, "the image"},
		{"certificate not trusted", headers, false, false, ""},
		{"no token", nil, true, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := flasher.GetterText(srv.URL+"/a%20b?x='1'", tc.headers, tc.ca, tc.insecure, true)
			cmd := exec.CommandContext(t.Context(), busybox, "sh", "-c", text+"\nset -o pipefail; get_image | cat")
			cmd.Env = append(os.Environ(), "ca="+ca)
			out, err := cmd.Output()
			if tc.want == "" && err == nil || string(out) != tc.want {
				t.Errorf("got %q, %v; want %q", out, err, tc.want)
			}
			if strings.Contains(string(out), "s3cret") {
				t.Error("the token was printed")
			}
		})
	}
}

func TestWithDirectRefuses(t *testing.T) {
	for name, opts := range map[string][]flasher.Option{
		"another method":   {flasher.WithDirect(flasher.Remote{}), flasher.WithMethod(flasher.MethodStream)},
		"a missing CA":     {flasher.WithDirect(flasher.Remote{CAFile: "/none/ca.pem"})},
		"a line break":     {flasher.WithDirect(flasher.Remote{BearerToken: "a\nb"})},
		"an unknown check": {flasher.WithVerify("some")},
	} {
		open := func(context.Context) (io.ReadWriteCloser, error) { return nil, errors.New("not to be opened") }
		if _, err := flasher.New(open, noPower{}, "bundle", opts...); !errors.Is(err, flasher.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}

// noPower is a power switch that is not to be touched.
type noPower struct{}

func (noPower) On(context.Context) error  { return errors.New("not to be touched") }
func (noPower) Off(context.Context) error { return errors.New("not to be touched") }

// TestReplacedBeforeThePipeline: the board's pipeline is served from the image's own
// server once more, which by then has another image. Nothing is read back.
func TestReplacedBeforeThePipeline(t *testing.T) {
	t.Parallel()
	first, second := testImage(3*mib), bytes.Repeat([]byte{7}, 3*mib)
	var gets atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, tag := first, `"1"`
		switch {
		case strings.HasSuffix(r.URL.Path, ".bmap"):
			http.NotFound(w, r)
			return
		case r.Method == http.MethodGet && gets.Add(1) > 1, gets.Load() > 1:
			body, tag = second, `"2"`
		}
		w.Header().Set("ETag", tag)
		w.Write(body)
	}))
	defer srv.Close()
	s := newSimulated(t, flashertest.WithDisk(4*mib, nil))
	f := s.flasher(t, flasher.WithMethod(flasher.MethodShell), flasher.WithVerify(flasher.VerifyNone))
	_, err := f.Flash(t.Context(), srv.URL+"/image.raw")
	var typed *flasher.Error
	if !errors.As(err, &typed) || !errors.Is(err, image.ErrChanged) || len(typed.Attempts) != 1 {
		t.Errorf("got %v, want image.ErrChanged after one attempt", err)
	}
	t.Log(err)
	s.isOff(t)
}
