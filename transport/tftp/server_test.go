package tftp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/tftp"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// start serves files on loopback and returns the address.
func start(tb testing.TB, files map[string][]byte, opts ...tftp.Option) (*tftp.Server, *net.UDPAddr) {
	tb.Helper()
	s, err := tftp.New(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	for n, b := range files {
		if err := s.Add(n, tftp.FromBytes(b)); err != nil {
			tb.Fatal(err)
		}
	}
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(c) }()
	tb.Cleanup(func() {
		_ = s.Close()
		if err := <-served; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return s, c.LocalAddr().(*net.UDPAddr)
}

// fetch is a minimal RFC 7440 client. drop loses a received DATA packet.
func fetch(tb testing.TB, to *net.UDPAddr, request string, drop func(block uint16) bool) ([]byte, error) {
	tb.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	send := func(p []byte) { _, _ = c.WriteTo(p, to) }
	ack := func(b uint16) { send(binary.BigEndian.AppendUint16([]byte{0, 4}, b)) }
	send([]byte(request))
	blk, win, inWindow := 512, 1, 0
	var got []byte
	var last uint16
	buf := make([]byte, 70000)
	for {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return got, err
		}
		switch binary.BigEndian.Uint16(buf) {
		case 5:
			return got, fmt.Errorf("error %d %s", binary.BigEndian.Uint16(buf[2:]), strings.TrimRight(string(buf[4:n]), "\x00"))
		case 6:
			f := strings.Split(string(buf[2:n]), "\x00")
			for i := 0; i+1 < len(f); i += 2 {
				_, _ = fmt.Sscan(f[i+1], map[string]*int{"blksize": &blk, "windowsize": &win, "timeout": new(int), "tsize": new(int)}[f[i]])
			}
			ack(0)
		case 3:
			b := binary.BigEndian.Uint16(buf[2:])
			if drop != nil && drop(b) {
				continue
			}
			if b != last+1 {
				ack(last)
				inWindow = 0
				continue
			}
			last++
			got = append(got, buf[4:n]...)
			inWindow++
			if inWindow == win || n-4 < blk {
				ack(last)
				inWindow = 0
			}
			if n-4 < blk {
				return got, nil
			}
		}
	}
}

func rrq(fields ...string) string { return "\x00\x01" + strings.Join(fields, "\x00") + "\x00" }

func TestFetch(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 1468 * 16, 300_000} {
		for _, opts := range [][]string{nil, {"blksize", "1468"}, {"tsize", "0", "timeout", "3"}, {"timeout", "3"},
			{"blksize", "8"}, {"BLKSIZE", "1024", "WindowSize", "7"}, {"windowsize", "16", "blksize", "1468", "tsize", "0", "timeout", "2"}} {
			t.Run(fmt.Sprint(size, opts), func(t *testing.T) {
				want := random(size)
				_, addr := start(t, map[string][]byte{"k": want})
				got, err := fetch(t, addr, rrq(append([]string{"/k", "octet"}, opts...)...), nil)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("got %d bytes of %d, %v", len(got), size, err)
				}
			})
		}
	}
}

func TestLoss(t *testing.T) {
	want := random(3_000_000)
	for _, opts := range []string{"1", "16"} {
		t.Run(opts, func(t *testing.T) {
			_, addr := start(t, map[string][]byte{"k": want})
			r := rand.New(rand.NewPCG(1, 2))
			f := []string{"k", "octet", "blksize", "1468"}
			if opts != "1" {
				f = append(f, "windowsize", opts)
			}
			got, err := fetch(t, addr, rrq(f...), func(uint16) bool { return r.IntN(100) == 0 })
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, addr := start(t, map[string][]byte{"k": random(100)})
	for _, req := range []string{rrq("../k", "octet"), rrq(secret, "octet"), rrq("//k", "octet"), "\x00\x01abcd", rrq("k", "octet", "blksize"),
		rrq("k", "mail"), rrq("", "octet"), "\x00\x02k\x00octet\x00", rrq(strings.Repeat("n", 600), "octet"), rrq(strings.Repeat("n", 400), "octet")} {
		got, err := fetch(t, addr, req, nil)
		if err == nil || len(got) != 0 || !strings.HasPrefix(err.Error(), "error ") {
			t.Errorf("%.30q: %d bytes, %v; want an ERROR packet", req, len(got), err)
		}
	}
	for _, o := range [][]string{{"blksize", "0"}, {"blksize", "7"}, {"blksize", "65465"}, {"windowsize", "0"}, {"windowsize", "65536"}, {"timeout", "x"}} {
		got, err := fetch(t, addr, rrq(append([]string{"k", "octet"}, o...)...), nil)
		if err != nil || len(got) != 100 {
			t.Errorf("%v: %d bytes, %v; want the option left out", o, len(got), err)
		}
	}
}

func TestNeverAcknowledged(t *testing.T) {
	for _, req := range []string{rrq("k", "octet"), rrq("k", "octet", "windowsize", "4")} {
		events := make(chan tftp.Event, 10)
		_, addr := start(t, map[string][]byte{"k": random(5000)}, tftp.WithTimeout(10*time.Millisecond), tftp.WithRetries(2),
			tftp.WithEvents(func(e tftp.Event) { events <- e }))
		c, err := net.DialUDP("udp", nil, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte(req))
		for e := range events {
			if e.Kind == tftp.Failed {
				if !errors.Is(e.Err, tftp.ErrNoAnswer) || !strings.Contains(e.Err.Error(), "firewall") {
					t.Errorf("got %v", e.Err)
				}
				break
			}
		}
	}
}

func TestForeignClients(t *testing.T) {
	want := random(2_000_000)
	_, addr := start(t, map[string][]byte{"k": want})
	curl := testtool.Need(t, "curl", "apt-get install curl")
	hpa := testtool.Need(t, "tftp", "apt-get install tftp-hpa")
	var wg sync.WaitGroup
	for i := range 32 {
		out := filepath.Join(t.TempDir(), "out")
		cmd := exec.Command(curl, "-sS", "--tftp-blksize", "1468", "-o", out, fmt.Sprintf("tftp://%s/k", addr))
		if i%2 == 1 {
			cmd = exec.Command(hpa, "-m", "binary", "127.0.0.1", fmt.Sprint(addr.Port), "-c", "get", "k", out)
		}
		wg.Go(func() {
			if msg, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("client %d: %v %s", i, err, msg)
				return
			}
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
				t.Errorf("client %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
}
