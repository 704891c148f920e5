package tftp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dutflash/dutflash/transport/tftp"
)

// TestNothingOutsideTheNames asks for what is beside the served file, from a
// directory and from an fs.FS.
func TestNothingOutsideTheNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"k", "secret"} {
		if err := os.WriteFile(dir+"/"+name, []byte("content of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, addr := start(t, nil)
	onDisk, err := tftp.FromPath(dir + "/k")
	if err != nil {
		t.Fatal(err)
	}
	inFS, err := tftp.FromFS(fstest.MapFS{"a/k": {Data: []byte("in fs")}, "a/secret": {Data: []byte("secret")}}, "a/k")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]tftp.File{"k": onDisk, "boot/k": inFS} {
		if err := s.Add(name, f); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"k": "content of k", "/k": "content of k", "boot/k": "in fs"} {
		if got, err := fetch(t, addr, rrq(name, "octet"), nil); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"secret", "../k", "./k", "boot/../k", "boot/../secret", "boot/secret", "a/k", "a/secret", dir + "/secret", "/" + dir + "/k",
		"//k", `..\k`, `\k`, "K", "k/", "k/.", "boot", ".", "..", "/", "/etc/passwd", "k ", "boot//k", strings.Repeat("../", 100) + "etc/passwd"} {
		got, err := fetch(t, addr, rrq(name, "octet", "windowsize", "4"), nil)
		if err == nil || len(got) != 0 || !strings.HasPrefix(err.Error(), "error ") {
			t.Errorf("%q: %q, %v; want an ERROR packet", name, got, err)
		}
	}
}

// TestPacketsThatAreNoRequest get no answer, and a board after them does.
func TestPacketsThatAreNoRequest(t *testing.T) {
	s, addr := start(t, map[string][]byte{"k": []byte("hello")})
	c := dial(t, addr)
	for _, p := range [][]byte{{}, {0}, {0, 1}, {0, 1, 0}, {0, 5, 0, 1, 'n', 'o', 0}, {0, 5, 0, 0}, {0, 4, 0, 0}, {0, 4, 0, 1}, {0, 3, 0, 1, 'x'},
		{0, 6, 'b', 'l', 'k', 's', 'i', 'z', 'e', 0, '8', 0}, {0, 0, 0, 0}, {0xff, 0xff, 1, 2}, bytes.Repeat([]byte{0xff}, 1400)} {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write([]byte(rrq("k", "octet"))); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 600)
	n, err := c.Read(p) // the first answer of all
	if err != nil || string(p[:n]) != "\x00\x03\x00\x01hello" {
		t.Errorf("got %q, %v; want block 1", p[:n], err)
	}
	if st := s.Stats(); st.Started != 1 {
		t.Errorf("%d transfers were started", st.Started)
	}
}

// TestWriteRequest is refused as an access violation.
func TestWriteRequest(t *testing.T) {
	_, addr := start(t, map[string][]byte{"k": []byte("hello")})
	for _, req := range []string{"\x00\x02k\x00octet\x00", "\x00\x02new\x00octet\x00tsize\x005\x00", "\x00\x02\x00\x00"} {
		_, err := fetch(t, addr, req, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "error 2 ") || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("%q: %v", req, err)
		}
	}
}

// TestIPv6 serves both kinds of transfer over it.
func TestIPv6(t *testing.T) {
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6 on loopback: %v", err)
	}
	want := random(100_000)
	s, err := tftp.New(tftp.WithMaxBlockSize(1428))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add("k", tftp.FromBytes(want)); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(conn) }()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	addr := conn.LocalAddr().(*net.UDPAddr)
	for _, window := range []int{1, 8} {
		c := dial(t, addr)
		_, _ = c.Write([]byte(rrq("k", "octet", "blksize", "1468", "windowsize", fmt.Sprint(window))))
		p := make([]byte, 2000)
		n, err := c.Read(p)
		if err != nil || !bytes.Contains(p[:n], []byte("blksize\x001428\x00")) {
			t.Fatalf("options %q, %v", p[:n], err)
		}
		_, _ = c.Write([]byte{0, 4, 0, 0})
		var got []byte
		for block := uint16(1); ; block++ {
			b := next(t, c, block)
			got = append(got, b...)
			if int(block)%window == 0 || len(b) < 1428 {
				_, _ = c.Write(binary.BigEndian.AppendUint16([]byte{0, 4}, block))
			}
			if len(b) < 1428 {
				break
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("window %d: the bytes are not those of the file", window)
		}
	}
}

// TestBlockSizeFitsMTU: a board that asks for the largest block gets what passes
// the interface unfragmented.
func TestBlockSizeFitsMTU(t *testing.T) {
	loopback, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skipf("the loopback interface is not called lo here: %v", err)
	}
	for _, tc := range []struct {
		opts []tftp.Option
		want int
	}{
		{nil, min(loopback.MTU-20-8-4, 65464)},
		{[]tftp.Option{tftp.WithMaxBlockSize(1000)}, 1000},
		{[]tftp.Option{tftp.WithMaxBlockSize(65464)}, 65464},
	} {
		_, addr := start(t, map[string][]byte{"k": random(10)}, tc.opts...)
		for _, window := range [][]string{nil, {"windowsize", "2"}} {
			c := dial(t, addr)
			_, _ = c.Write([]byte(rrq(append([]string{"k", "octet", "blksize", "65464"}, window...)...)))
			p := make([]byte, 600)
			n, err := c.Read(p)
			if want := fmt.Sprintf("blksize\x00%d\x00", tc.want); err != nil || !bytes.Contains(p[:n], []byte(want)) {
				t.Errorf("options %q, %v; want %q", p[:n], err, want)
			}
			_, _ = c.Write([]byte{0, 5, 0, 0, 0})
		}
	}
}

// TestRepeatedAcknowledgement: in lock step, each block comes once, however often
// the one before is acknowledged (the sorcerer's apprentice).
func TestRepeatedAcknowledgement(t *testing.T) {
	const blocks = 50
	for _, opts := range [][]string{nil, {"windowsize", "1"}} {
		_, addr := start(t, map[string][]byte{"k": random(blocks*512 - 1)}, tftp.WithTimeout(10*time.Second))
		c := dial(t, addr)
		_, _ = c.Write([]byte(rrq(append([]string{"k", "octet"}, opts...)...)))
		p := make([]byte, 600)
		if opts != nil {
			if _, err := c.Read(p); err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write([]byte{0, 4, 0, 0})
		}
		packets := 0
		for have := uint16(0); have < blocks; {
			n, err := c.Read(p)
			if err != nil || n < 4 || p[1] != 3 {
				t.Fatalf("%q, %v", p[:n], err)
			}
			packets++
			have = max(have, binary.BigEndian.Uint16(p[2:]))
			for range 2 {
				_, _ = c.Write([]byte{0, 4, p[2], p[3]})
			}
		}
		// A slow machine may cause a few by its timer.
		if packets > blocks*3/2 {
			t.Errorf("%v: %d packets for %d blocks", opts, packets, blocks)
		}
	}
}

// TestWildcard: a board with an IPv4 address asks a socket that takes both kinds.
func TestWildcard(t *testing.T) {
	conn, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	want := random(200_000)
	s, err := tftp.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add("k", tftp.FromBytes(want)); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(conn) }()
	addr := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: conn.LocalAddr().(*net.UDPAddr).Port}
	for _, window := range []string{"1", "16", "64"} {
		if got, err := fetch(t, addr, rrq("k", "octet", "blksize", "1468", "windowsize", window), nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("window %s: %d bytes, %v", window, len(got), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
