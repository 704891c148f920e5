package flasher_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// ownAddress returns an address of this machine that is not loopback, so that one
// URL leads to a server both from here and from a board that is told that the
// host has this address.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Skip("this machine has no IPv4 address but loopback; connect it to a network")
	return netip.Addr{}
}

// TestShellMethod flashes with the seed's pipeline on the board: the file as
// stored from the host, and directly from a server that wants a token.
func TestShellMethod(t *testing.T) {
	t.Parallel()
	addr := ownAddress(t)
	const token = "s3cret-token"
	var log syncBuffer
	for _, tc := range []struct {
		name   string
		direct bool
		size   int
		tool   []string
	}{
		{"from the host, xz", false, 12*mib + 512, []string{"xz", ".xz", "-1"}},
		{"from the host, zstd, which the board lacks", false, 12*mib + 77, []string{"zstd", ".zst"}},
		{"direct", true, 12 * mib, []string{"gzip", ".gz", "-1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRigWith(t, 16*mib, virtboard.Config{Arch: virtboard.ARM64, Host: netip.PrefixFrom(addr, 24)})
			dir := bundleDir(t, virtboard.ARM64, debian.Bundle{})
			raw := testImage(tc.size)
			ref := compressed(t, imageFile(t, "image.raw", raw), tc.tool[0], tc.tool[1], tc.tool[2:]...)
			opts := []flasher.Option{flasher.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}
			byBoard := 0
			if tc.direct {
				path := ref
				handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if req.Header.Get("Authorization") != "Bearer "+token {
						http.Error(w, "no", http.StatusUnauthorized)
						return
					}
					if strings.HasPrefix(req.UserAgent(), "Wget") {
						byBoard++
					}
					http.ServeFile(w, req, path)
				})
				ref = "http://" + net.JoinHostPort(addr.String(), serveBoth(t, r, addr, handler)) + "/image.raw.gz"
				opts = append(opts, flasher.WithDirect(flasher.Remote{BearerToken: token}))
			} else {
				opts = append(opts, flasher.WithMethod(flasher.MethodShell))
			}
			res, err := r.flasher(t, dir, opts...).Flash(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			r.holds(t, raw)
			if res.Method != flasher.MethodShell || res.SHA256 != sha256Hex(raw) || res.ProvedBytes != int64(len(raw)) {
				t.Errorf("result %+v", res)
			}
			if tc.direct != (res.TransferredBytes == 0) || tc.direct && byBoard != 1 {
				t.Errorf("%d bytes came from us, and the board asked the image's server %d times", res.TransferredBytes, byBoard)
			}
			for what, text := range map[string]string{"transcript": r.console.String(), "log": log.String()} {
				if strings.Contains(text, token) {
					t.Errorf("the token is in the %s", what)
				}
			}
			js, err := json.Marshal(res)
			if err != nil || !bytes.Contains(js, []byte(`"method":"shell"`)) || bytes.Contains(js, []byte(token)) {
				t.Errorf("JSON %s, %v", js, err)
			}
			t.Logf("%s", js)
		})
	}
}

// serveBoth serves on this machine's address and on the board's network under the
// same port, which it returns.
func serveBoth(t *testing.T, r *rig, addr netip.Addr, h http.Handler) string {
	t.Helper()
	host, err := net.Listen("tcp", net.JoinHostPort(addr.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(host.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	board, err := r.board.Network().Listen(t.Context(), "tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	ended := make(chan error, 2)
	for _, l := range []net.Listener{host, board} {
		go func() { ended <- srv.Serve(l) }()
	}
	t.Cleanup(func() {
		srv.Close()
		<-ended
		<-ended
	})
	return port
}
