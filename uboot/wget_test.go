package uboot_test

import (
	"context"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// wgetImage is a build for QEMU's arm64 that has wget, which none of Debian
// bookworm's has.
var (
	wgetTranscript = filepath.Join("testdata", "wget", "arm64-2025.01.txt")
	wgetAddress    = "127.0.0.1:18080" // as it was recorded
	wgetBuild      = func() build { b := builds[0]; b.toHost = true; return b }()
)

func wgetContent() []byte {
	data := make([]byte, 700_001)
	rand.NewChaCha8([32]byte{7}).Read(data)
	return data
}

// wgetScenario loads from a server that serves files well and badly.
func wgetScenario(t *testing.T, s *uboot.Session, heading func(string)) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := s.Interrupt(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DHCP(ctx); err != nil {
		t.Fatal(err)
	}
	data := wgetContent()
	base := "http://10.0.2.2:" + wgetAddress[strings.LastIndexByte(wgetAddress, ':')+1:]
	load := func(title, url string, sum uint32) (uboot.Loaded, error) {
		heading(title)
		limit := time.Minute
		if title == "server that stalls" {
			limit = 15 * time.Second
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return s.LoadWget(ctx, uboot.File{Name: url, Address: builds[0].ram, Size: int64(len(data)), CRC32: sum, CheckCRC: true})
	}
	right := crc32.ChecksumIEEE(data)
	for _, path := range []string{"/kernel", "/chunked"} {
		if l, err := load(path, base+path, right); err != nil || l.Size != int64(len(data)) || !l.CRCChecked {
			t.Errorf("%s: %+v, %v", path, l, err)
		}
	}
	for _, tc := range []struct {
		name, url string
		sum       uint32
		is        error
		says      string
	}{
		{"other bytes", base + "/kernel", right + 1, uboot.ErrCRC, "in RAM"},
		{"no such file", base + "/none", right, uboot.ErrHTTP, "HTTP/1.0 404 Not Found"},
		{"connection that breaks", base + "/short", right, uboot.ErrSize, "400000 bytes arrived, the file has 700001"},
		{"server that stalls", base + "/stall", right, uboot.ErrNoServer, "deadline exceeded"},
		{"closed port", "http://10.0.2.2:1/kernel", right, uboot.ErrNoServer, "nothing accepts connections"},
		{"no such host", "http://10.0.2.77/kernel", right, uboot.ErrNoServer, "ARP Retry count exceeded"},
	} {
		_, err := load(tc.name, tc.url, tc.sum)
		wantError(t, err, tc.is, "wget", "")
		if err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.says)
		}
		answers(t, s)
	}
	heading("what is left")
	if _, err := s.Env(ctx, "httpdstp"); !errors.Is(err, uboot.ErrNotDefined) {
		t.Errorf("httpdstp stayed: %v", err)
	}
}

// TestWgetTranscript plays back what Debian's build of 2025.01 printed.
func TestWgetTranscript(t *testing.T) {
	tr, err := load(wgetTranscript)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		port := newPlayback(tr, 0)
		c, err := console.New(port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := uboot.New(c, fixedMarkers())
		if err != nil {
			t.Fatal(err)
		}
		wgetScenario(t, s, func(string) {})
		if err := port.end(); err != nil {
			t.Error(err)
		}
	})
}

// TestRealWget loads from a real HTTP server, and records that with -record.
func TestRealWget(t *testing.T) {
	beside(t)
	image := testtool.WgetUBoot(t)
	data := wgetContent()
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		length, n := "700001", len(data)
		switch r.URL.Path {
		case "/kernel":
		case "/chunked":
			w.(http.Flusher).Flush()
			w.Write(data)
			return
		case "/short", "/stall":
			n = 400_000
		default:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", length)
		w.Write(data[:n])
		switch r.URL.Path {
		case "/short":
			panic(http.ErrAbortHandler)
		case "/stall":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	l, err := net.Listen("tcp", wgetAddress)
	if err != nil {
		t.Fatal(err)
	}
	web.Listener.Close()
	web.Listener = l
	web.Start()
	t.Cleanup(web.Close)
	b := wgetBuild
	b.image = []string{"-bios", image}
	if !*record {
		s, err := uboot.New(start(t, b, t.TempDir(), nil))
		if err != nil {
			t.Fatal(err)
		}
		wgetScenario(t, s, func(string) {})
		switchesBaud(t, s, builds[0])
		return
	}
	rec := &recorder{}
	con := start(t, b, t.TempDir(), rec)
	s, err := uboot.New(con, fixedMarkers())
	if err != nil {
		t.Fatal(err)
	}
	rec.heading("power on")
	wgetScenario(t, s, rec.heading)
	con.Close()
	b.image[1] = "qemu_arm64/u-boot.bin (u-boot-qemu 2025.01-3+deb13u1)"
	rec.about = about(t, b)
	rec.about[0] = "Made by: go test ./uboot -run TestRealWget -record"
	if !t.Failed() {
		if err := rec.save(wgetTranscript); err != nil {
			t.Error(err)
		}
	}
}

// TestWgetBuilds is for builds that Debian has not: without wget, with an older
// one, and with lwIP, whose output is that of net/lwip/wget.c.
func TestWgetBuilds(t *testing.T) {
	const legacy = "wget - boot image via network using HTTP protocol\n\nUsage:\nwget [loadAddress] [[hostIPaddr:]path and image name]\n"
	const lwip = "wget - boot image via network using HTTP/HTTPS protocol\n\nUsage:\nwget [loadAddress] url\nwget [loadAddress] [host:]path\n    - load file\n"
	good := "HTTP/1.0 200 OK\nPackets received 7, Transfer Successful\nBytes transferred = 5000 (1388 hex)\n"
	for _, tc := range []struct {
		name, help, version, url string
		env                      map[string]string
		prints                   string
		ran                      string // "" is nothing
		port                     string
		is                       error // nil: loaded
		says                     string
	}{
		{name: "no wget", url: "http://1.2.3.4/x", is: uboot.ErrUnknownCommand},
		{name: "2022.10", help: legacy, version: "2022.10", url: "http://1.2.3.4/a/x", prints: good, ran: "wget 1000 1.2.3.4:/a/x"},
		{name: "2022.10, port 80 said", help: legacy, version: "2022.10", url: "http://1.2.3.4:80/x", prints: good, ran: "wget 1000 1.2.3.4:/x"},
		{name: "2022.10, other port", help: legacy, version: "2022.10", url: "http://1.2.3.4:8080/x", is: uboot.ErrWgetPort, says: "2022.10 knows port 80 only"},
		{name: "2023.07 with the newer wget", help: legacy, version: "2023.07", env: map[string]string{"httpdstp": "90"}, url: "http://1.2.3.4:8080/x", prints: good, ran: "wget 1000 1.2.3.4:/x", port: "8080"},
		{name: "port 80 where another is set", help: legacy, version: "2025.01", env: map[string]string{"httpdstp": "90"}, url: "http://1.2.3.4/x", prints: good, ran: "wget 1000 1.2.3.4:/x", port: "80"},
		{name: "2025.01", help: legacy, version: "2025.01", url: "http://1.2.3.4:8080/x", prints: good, ran: "wget 1000 1.2.3.4:/x", port: "8080"},
		{name: "a name", help: legacy, version: "2025.01", url: "http://rack7/x", says: "takes an IPv4 address"},
		{name: "lwIP", help: lwip, version: "2025.04", url: "http://rack7:8080/a//x", prints: "#####\n5000 bytes transferred in 3 ms (1.6 MiB/s)\nBytes transferred = 5000 (1388 hex)\n", ran: "wget 1000 http://rack7:8080/a//x"},
		{name: "lwIP, 404", help: lwip, version: "2025.04", url: "http://1.2.3.4/x", prints: "\nHTTP server error 404\n", ran: "wget 1000 http://1.2.3.4/x", is: uboot.ErrHTTP, says: "HTTP server error 404"},
		{name: "lwIP, no answer", help: lwip, version: "2025.04", url: "http://1.2.3.4/x", prints: "\nHTTP client error 3\n", ran: "wget 1000 http://1.2.3.4/x", is: uboot.ErrHTTP, says: "HTTP client error 3"},
		{name: "reserved memory", help: legacy, version: "2025.01", url: "http://1.2.3.4/x", prints: "\nwget error: trying to overwrite reserved memory...\n", ran: "wget 1000 1.2.3.4:/x", is: uboot.ErrHTTP, says: "reserved memory"},
		{name: "no size", help: legacy, version: "2025.01", url: "http://1.2.3.4/x", prints: "HTTP/1.0 200 OK\n", ran: "wget 1000 1.2.3.4:/x", is: uboot.ErrSize},
		{name: "https", help: lwip, url: "https://1.2.3.4/x", says: "http:// only"},
		{name: "query", help: lwip, url: "http://1.2.3.4/x?y=1", says: "want http://"},
		{name: "password", help: lwip, url: "http://a:b@1.2.3.4/x", says: "want http://"},
		{name: "IPv6", help: lwip, url: "http://[::1]/x", says: "want http://"},
		{name: "no path", help: lwip, url: "http://1.2.3.4/", says: "names no file"},
		{name: "no port", help: lwip, url: "http://1.2.3.4:/x", says: "no port"},
		{name: "port 0", help: lwip, url: "http://1.2.3.4:0/x", says: "no port"},
		{name: "commands", help: lwip, url: "http://1.2.3.4/x;reset", says: "does not take"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ran, port := "", ""
			b := &oldBoard{env: tc.env, commands: map[string]func(*oldBoard, []string){
				"version": func(b *oldBoard, _ []string) { b.print("U-Boot %s\n", tc.version) },
				"help": func(b *oldBoard, args []string) {
					if tc.help == "" {
						b.print("Unknown command '%s' - try 'help' without arguments for list of all known commands\n\n", args[1])
						return
					}
					b.print("%s", tc.help)
				},
				"wget": func(b *oldBoard, args []string) {
					ran, port = strings.Join(args, " "), b.env["httpdstp"]
					b.print("%s", tc.prints)
				},
				"crc32": func(b *oldBoard, _ []string) { b.print("crc32 for 1000 ... 2387 ==> 00000005\n") },
			}}
			before := tc.env["httpdstp"]
			onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
				l, err := s.LoadWget(t.Context(), uboot.File{Name: tc.url, Address: "1000", Size: 5000, CRC32: 5, CheckCRC: true})
				switch {
				case tc.is == nil && tc.says == "":
					if err != nil || l.Size != 5000 || !l.CRCChecked {
						t.Errorf("%+v, %v", l, err)
					}
				case err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says):
					t.Errorf("got %v, want %v and %q", err, tc.is, tc.says)
				default:
					wantError(t, err, err, "wget", "")
				}
				if tc.name == "password" && strings.Contains(err.Error(), "a:b") {
					t.Errorf("the password is in %v", err)
				}
				if ran != tc.ran || port != tc.port {
					t.Errorf("ran %q with port %q, want %q and %q", ran, port, tc.ran, tc.port)
				}
				if b.env["httpdstp"] != before {
					t.Errorf("httpdstp is %q, was %q", b.env["httpdstp"], before)
				}
				answers(t, s)
			})
		})
	}
}

// TestWgetWithoutHelp takes a build without help for an older one.
func TestWgetWithoutHelp(t *testing.T) {
	b := &oldBoard{commands: map[string]func(*oldBoard, []string){
		"wget": func(b *oldBoard, args []string) { b.print("Bytes transferred = 5 (5 hex)\n") },
	}}
	onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
		if l, err := s.LoadWget(t.Context(), uboot.File{Name: "http://1.2.3.4/x", Address: "1000", Size: -1}); err != nil || l.Size != 5 {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

// FuzzURL sees that what becomes part of a command line cannot be another command.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"http://1.2.3.4/x", "http://1.2.3.4:8080/a/b", "http://h/%3b", "http://a:b@c/x", "http://[::1]/", "http://1.2.3.4:/x", "http:///x", "http://1.2.3.4/x;reset", "http://1.2.3.4/$x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host, port, path, err := uboot.ParseURL(text)
		if err != nil {
			return
		}
		u, uerr := url.Parse(text)
		if uerr != nil || u.Hostname() == "" || port == 0 || path == "" || path[0] != '/' || u.EscapedPath() != path {
			t.Errorf("%q: %v %d %q", text, host, port, path)
		}
		if strings.ContainsAny(text, " ;&|<>'\"`\\\r\n\x00?#") {
			t.Errorf("%q was taken", text)
		}
	})
}
