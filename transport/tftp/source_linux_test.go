package tftp_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/tftp"
)

// TestAnswersFromTheAddressAsked: a server that is bound to none of the host's
// addresses answers from the one that was asked, not from the one that the kernel
// would choose. All of 127.0.0.0/8 is this host's, and 127.0.0.1 the usual choice.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	t.Parallel()
	content := random(3000)
	for _, network := range []string{"udp", "udp4"} {
		conn, err := net.ListenPacket(network, ":0")
		if err != nil {
			t.Fatal(err)
		}
		s, err := tftp.New()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Add("k", tftp.FromBytes(content)); err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(conn) }()
		asked := []string{"127.0.0.1", "127.1.2.3"}
		if network == "udp" {
			asked = append(asked, "::1")
		}
		for _, address := range asked {
			at := netip.AddrPortFrom(netip.MustParseAddr(address), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			for name, request := range map[string]string{
				"by pin/tftp": rrq("k", "octet", "blksize", "1468"), "by windows": rrq("k", "octet", "blksize", "512", "windowsize", "8"), "refused": rrq("none", "octet"),
			} {
				// Of a connected socket the kernel drops what comes from elsewhere.
				c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
				if err != nil {
					t.Fatal(err)
				}
				c.SetDeadline(time.Now().Add(10 * time.Second))
				got := make([]byte, 2000)
				if _, err = c.Write([]byte(request)); err == nil {
					_, err = c.Read(got)
				}
				if err != nil || got[1] != 6 && (name != "refused" || got[1] != 5) {
					t.Errorf("%s, %s, %s: %v, answer % x; want one from the address asked", network, at, name, err, got[:8])
				}
				c.Close()
			}
			dir := t.TempDir()
			curl := testtool.Need(t, "curl", "apt-get install curl")
			out := filepath.Join(dir, "out")
			msg, err := exec.Command(curl, "-sS", "-o", out, fmt.Sprintf("tftp://%s/k", at)).CombinedOutput()
			if got, _ := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s, %s: curl got %d bytes, %v: %s", network, at, len(got), err, strings.TrimSpace(string(msg)))
			}
		}
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}
