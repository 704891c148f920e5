package virtboard

import (
	"bytes"
	"net/netip"
	"testing"
)

// request is a client's message.
func request(options ...byte) []byte {
	b := make([]byte, dhcpHeader)
	b[0], b[1], b[2] = 1, 1, 6
	copy(b[4:8], "xid!")
	copy(b[28:34], mac)
	copy(b[236:], dhcpCookie[:])
	return append(append(b, options...), optEnd)
}

func TestDHCPAnswers(t *testing.T) {
	server := dhcpServer{host: netip.MustParsePrefix(defaultHost), board: netip.MustParseAddr("192.168.127.10"), router: true}
	for name, tc := range map[string]struct {
		options []byte
		kind    byte // 0 for no answer
	}{
		"discover":               {[]byte{53, 1, 1}, dhcpOffer},
		"padding":                {[]byte{0, 0, 53, 1, 1}, dhcpOffer},
		"request":                {[]byte{53, 1, 3, 50, 4, 192, 168, 127, 10, 54, 4, 192, 168, 127, 1}, dhcpACK},
		"another address":        {[]byte{53, 1, 3, 50, 4, 192, 168, 127, 99}, dhcpNAK},
		"another server's offer": {[]byte{53, 1, 3, 54, 4, 10, 0, 0, 1}, 0},
		"release":                {[]byte{53, 1, 7}, 0},
		"no type":                {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := parseDHCP(request(tc.options...))
			if err != nil {
				t.Fatal(err)
			}
			reply := server.answer(m)
			if tc.kind == 0 {
				if reply != nil {
					t.Fatalf("an answer: %v", reply)
				}
				return
			}
			if !bytes.Equal(reply[4:8], []byte("xid!")) || !bytes.Equal(reply[28:34], mac) || reply[0] != 2 {
				t.Errorf("header: %v", reply[:34])
			}
			if !bytes.HasPrefix(reply[dhcpHeader:], []byte{optMessageType, 1, tc.kind, optServerID, 4, 192, 168, 127, 1}) {
				t.Errorf("options: %v", reply[dhcpHeader:])
			}
			hasAddress := bytes.Equal(reply[16:20], []byte{192, 168, 127, 10})
			hasRouter := bytes.Contains(reply[dhcpHeader:], []byte{optRouter, 4, 192, 168, 127, 1})
			hasMask := bytes.Contains(reply[dhcpHeader:], []byte{optSubnetMask, 4, 255, 255, 255, 0})
			if given := tc.kind != dhcpNAK; hasAddress != given || hasRouter != given || hasMask != given {
				t.Errorf("address %v, router %v, mask %v; want %v", hasAddress, hasRouter, hasMask, given)
			}
		})
	}
}

func TestBoardAddress(t *testing.T) {
	for host, want := range map[string]string{
		"192.168.127.1/24": "192.168.127.10",
		"10.0.0.1/29":      "10.0.0.6",
		"10.0.0.6/29":      "10.0.0.5",
	} {
		if got := boardAddress(netip.MustParsePrefix(host)); got.String() != want {
			t.Errorf("beside %s: %v; want %s", host, got, want)
		}
	}
}

func FuzzParseDHCP(f *testing.F) {
	f.Add(request(53, 1, 1))
	f.Add(request(53, 1, 3, 50, 4, 192, 168, 127, 10))
	f.Add(request(53, 9))
	f.Add([]byte("short"))
	server := dhcpServer{host: netip.MustParsePrefix(defaultHost), board: netip.MustParseAddr("192.168.127.10")}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseDHCP(b)
		if err != nil {
			return
		}
		if reply := server.answer(m); reply != nil && (len(reply) < 300 || reply[0] != 2) {
			t.Errorf("reply %v", reply)
		}
	})
}
