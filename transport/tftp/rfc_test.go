package tftp_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/tftp"
)

// TestOptionsAnswered holds the answer to each request against RFC 2347, 2348, 2349
// and 7440: an OACK with what was asked for and is taken, and block 1 where nothing
// is.
func TestOptionsAnswered(t *testing.T) {
	const size = 100_000
	_, addr := start(t, map[string][]byte{"k": random(size)}, tftp.WithMaxBlockSize(1400), tftp.WithMaxWindowSize(32))
	for _, tc := range []struct {
		ask, want string // without NULs; want "" is block 1
	}{
		{"", ""},
		{"blksize 1024", "blksize 1024"},
		{"blksize 8", "blksize 8"},
		{"blksize 65464", "blksize 1400"},
		{"blksize 512", "blksize 512"},
		{"tsize 0", "tsize 100000"},
		{"timeout 1", "timeout 1"},
		{"timeout 255", "timeout 255"},
		{"windowsize 1", "windowsize 1"},
		{"windowsize 16", "windowsize 16"},
		{"windowsize 65535", "windowsize 32"},
		{"blksize 1024 tsize 0 timeout 5", "blksize 1024 timeout 5 tsize 100000"},
		{"TSIZE 0 BlkSize 1400 WINDOWSIZE 4 Timeout 3", "blksize 1400 windowsize 4 timeout 3 tsize 100000"},
		{"colour red", ""},
		{"colour red blksize 600", "blksize 600"},
		{"multicast 1 tsize 0", "tsize 100000"},
		{"blksize 7", ""},
		{"blksize 65465", ""},
		{"blksize -1", ""},
		{"blksize 1e3", ""},
		{"blksize 99999999999999999999", ""},
		{"windowsize 0", ""},
		{"windowsize 65536", ""},
		{"windowsize 0 blksize 700", "blksize 700"},
		{"timeout 0", ""},
		{"timeout 256", ""},
		{"tsize x", ""},
	} {
		t.Run(tc.ask, func(t *testing.T) {
			c := dial(t, addr)
			if _, err := c.Write([]byte(rrq(append([]string{"k", "octet"}, strings.Fields(tc.ask)...)...))); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, 2000)
			n, err := c.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				if n != 516 || !bytes.Equal(p[:4], []byte{0, 3, 0, 1}) {
					t.Errorf("got %q, want block 1 of 512 bytes", p[:n])
				}
			} else if p[1] != 6 {
				t.Errorf("got %q, want an OACK", p[:n])
			} else if got, want := options(string(p[2:n])), options(strings.ReplaceAll(tc.want, " ", "\x00")+"\x00"); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			c.Write([]byte{0, 5, 0, 0, 0})
		})
	}
}

// options are those of an OACK, sorted.
func options(oack string) (opts []string) {
	f := strings.Split(strings.TrimSuffix(oack, "\x00"), "\x00")
	for i := 0; i+1 < len(f); i += 2 {
		opts = append(opts, f[i]+"="+f[i+1])
	}
	slices.Sort(opts)
	return opts
}

// TestMoreThan65535Blocks: their numbers begin again at 0.
func TestMoreThan65535Blocks(t *testing.T) {
	want := random(512*65_600 + 100)
	_, addr := start(t, map[string][]byte{"k": want, "small": want[:8*66_000+3]})
	for _, tc := range []struct {
		name string
		opts []string
	}{{"k", nil}, {"k", []string{"windowsize", "16"}}, {"small", []string{"blksize", "8", "windowsize", "64"}}} {
		got, err := fetch(t, addr, rrq(append([]string{tc.name, "octet"}, tc.opts...)...), nil)
		content := want
		if tc.name == "small" {
			content = want[:8*66_000+3]
		}
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%v: %d bytes of %d, %v", tc, len(got), len(content), err)
		}
	}
}

// TestFinalAcknowledgementLost: the last block comes again, and the transfer ends well once
// it is acknowledged.
func TestFinalAcknowledgementLost(t *testing.T) {
	for _, opts := range [][]string{nil, {"windowsize", "4"}} {
		events := make(chan tftp.Event, 100)
		_, addr := start(t, map[string][]byte{"k": []byte("hello")}, tftp.WithTimeout(20*time.Millisecond), tftp.WithEvents(func(e tftp.Event) { events <- e }))
		c := dial(t, addr)
		c.Write([]byte(rrq(append([]string{"k", "octet"}, opts...)...)))
		if opts != nil {
			if _, err := c.Read(make([]byte, 600)); err != nil {
				t.Fatal(err)
			}
			c.Write([]byte{0, 4, 0, 0})
		}
		for range 3 {
			if got := next(t, c, 1); string(got) != "hello" {
				t.Errorf("%v: %q", opts, got)
			}
		}
		c.Write([]byte{0, 4, 0, 1})
		for e := range events {
			if e.Kind == tftp.Done || e.Kind == tftp.Failed {
				if e.Kind != tftp.Done || e.Bytes != 5 || e.Retransmits < 2 {
					t.Errorf("%v: %+v", opts, e)
				}
				break
			}
		}
	}
}
