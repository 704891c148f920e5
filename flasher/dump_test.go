package flasher

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/workers"
	"github.com/dutflash/dutflash/transport/httpd"
)

// dumpDisk has data, zeros, and stretches that look like compressed files.
func dumpDisk(size int) []byte {
	disk := make([]byte, size)
	r := rand.NewChaCha8([32]byte{9})
	for off := 0; off < size; off += 4 << 20 {
		r.Read(disk[off:min(off+1<<20, size)])
	}
	copy(disk[4<<20:], "\x1f\x8b\x08\x00 is how gzip begins")
	return disk
}

// dumpServer serves a plan as transfer does.
func dumpServer(t *testing.T, plan *dumpPlan, via string, spoil func(io.Reader) io.Reader) (server *httpd.Server, host string) {
	t.Helper()
	server, err := httpd.New()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-served })
	server.Handle("dump/task", workers.Handler(dumpHost{plan}))
	for _, name := range dumpWorkers {
		server.Upload("dump/"+name, 2*plan.piece, func(_ context.Context, body io.Reader) error {
			if via == ViaWget {
				body = base64.NewDecoder(base64.StdEncoding, body)
			}
			if spoil != nil {
				body = spoil(body)
			}
			return plan.receive(name, body)
		})
	}
	return server, l.Addr().String()
}

// collect gives what the plan has proved to a buffer.
func collect(t *testing.T, plan *dumpPlan) (done func() ([]byte, error)) {
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			var b []byte
			if b, err = plan.wait(ctx); err != nil {
				return
			}
			out.Write(b)
			plan.written()
		}
	}()
	return func() ([]byte, error) { cancel(); <-ended; return out.Bytes(), err }
}

// TestDumpScriptOnRealBusybox runs the board's script on busybox, on a file, with
// each way of sending and each compression, and with what a network can do to it.
func TestDumpScriptOnRealBusybox(t *testing.T) {
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	disk := dumpDisk(13<<20 + 3*512)
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	var cuts atomic.Int32
	cutTwice := func(r io.Reader) io.Reader {
		if cuts.Add(1) <= 2 {
			return io.LimitReader(r, 1000)
		}
		return r
	}
	flipOnce := func(r io.Reader) io.Reader {
		if cuts.Add(1) == 1 {
			return io.MultiReader(bytes.NewReader([]byte{1}), r)
		}
		return r
	}
	for _, tc := range []struct {
		name, via string
		codecs    []string
		start     int64
		spoil     func(io.Reader) io.Reader
	}{
		{name: "nc", via: ViaNetcat, codecs: []string{CompressNone}},
		{name: "nc measured", via: ViaNetcat, codecs: []string{CompressNone, CompressLZ4, CompressZstd, CompressGzip}},
		{name: "nc gzip", via: ViaNetcat, codecs: []string{CompressGzip}},
		{name: "curl zstd", via: ViaCurl, codecs: []string{CompressZstd}},
		{name: "curl lz4", via: ViaCurl, codecs: []string{CompressLZ4}},
		{name: "wget", via: ViaWget, codecs: []string{CompressGzip}},
		{name: "from the middle", via: ViaNetcat, codecs: []string{CompressNone}, start: 5 << 20},
		{name: "cut", via: ViaNetcat, codecs: []string{CompressNone}, spoil: cutTwice},
		{name: "damaged", via: ViaNetcat, codecs: []string{CompressNone}, spoil: flipOnce},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cuts.Store(0)
			plan := newDumpPlan(tc.start, int64(len(disk)), 2<<20, digests[0], tc.codecs)
			server, host := dumpServer(t, plan, tc.via, tc.spoil)
			done := collect(t, plan)
			name, port, err := net.SplitHostPort(host)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			script, err := dumpScript()
			if err != nil {
				t.Fatal(err)
			}
			left := t.TempDir()
			cmd := exec.CommandContext(ctx, busybox, append([]string{"sh", "-s", path, server.URL(host, "dump"), "", "sha256sum", tc.via, name, port, server.Path("dump")}, dumpWorkers...)...)
			cmd.Stdin = bytes.NewReader(script)
			cmd.Env = []string{"PATH=/usr/bin", "TMPDIR=" + left}
			if tc.via != ViaCurl {
				cmd.Env = []string{"PATH=" + onlyIn(t, "zstd", "lz4"), "TMPDIR=" + left}
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("script: %v\n%s", err, out)
			}
			got, err := done()
			if !errors.Is(err, io.EOF) || !bytes.Equal(got, disk[tc.start:]) {
				t.Errorf("%d bytes of %d came, %v", len(got), len(disk), err)
			}
			if files, err := os.ReadDir(left); err != nil || len(files) > 0 {
				t.Errorf("left on the board: %v, %v", files, err)
			}
			_, wire, zero := plan.state()
			if wire+zero == 0 || tc.codecs[0] == CompressNone && len(tc.codecs) == 1 && tc.spoil == nil && wire+zero < int64(len(got)) {
				t.Errorf("%d bytes crossed the network, %d were zeros", wire, zero)
			}
			t.Logf("%d bytes, %d on the wire, %d zeros, %v, %s", len(got), wire, zero, plan.codec.rates, plan.codec.best)
		})
	}
}

// onlyIn makes a directory with nothing but links to some tools.
func onlyIn(t *testing.T, tools ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range tools {
		if err := os.Symlink(testtool.Need(t, tool, "apt-get install "+tool), filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestDumpPlanFaults plays the board.
func TestDumpPlanFaults(t *testing.T) {
	disk := dumpDisk(5 << 20)
	const mib = 1 << 20
	read := func(plan *dumpPlan) string {
		at, size := plan.taken("a")
		return plan.digest.Sum(disk[at:at+size]) + "," + strconv.FormatInt(size, 10)
	}
	for _, tc := range []struct {
		name  string
		board func(plan *dumpPlan) (status int, said string)
		lost  bool // the board is lost in the middle
		want  error
	}{
		{name: "good", want: io.EOF},
		{name: "lost", lost: true, want: io.EOF},
		{name: "unreadable", want: ErrDeviceRead, board: func(p *dumpPlan) (int, string) {
			return 1, ""
		}},
		{name: "short", want: ErrDeviceRead, board: func(p *dumpPlan) (int, string) {
			sum, _, _ := strings.Cut(read(p), ",")
			return 0, sum + ",1"
		}},
		{name: "wrong digest", want: ErrDumpTransfer, board: func(p *dumpPlan) (int, string) {
			_, size := p.taken("a")
			return 0, strings.Repeat("0", 64) + "," + strconv.FormatInt(size, 10)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan := newDumpPlan(0, int64(len(disk)), mib, digests[0], []string{CompressNone})
			done := collect(t, plan)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for n := 0; ; n++ {
				if tc.lost && n == 5 {
					plan.forget()
				}
				task := plan.ask(ctx, "a")
				if task.verb == "quit" || ctx.Err() != nil {
					break
				}
				status, said := 0, ""
				switch task.verb {
				case "read":
					said = read(plan)
					if tc.board != nil {
						status, said = tc.board(plan)
					}
				case "send":
					at, size := plan.taken("a")
					if err := plan.receive("a", bytes.NewReader(disk[at:at+size])); err != nil {
						status = 1
					}
				}
				plan.report("a", task.id, status, said)
				plan.report("a", task.id, 1, "") // a repetition changes nothing
			}
			got, err := done()
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == io.EOF && !bytes.Equal(got, disk) {
				t.Error("success, and what came is wrong")
			}
			if !bytes.HasPrefix(disk, got) {
				t.Error("the writer got something that is not on the disk")
			}
		})
	}
	if err := newDumpPlan(0, mib, mib, digests[0], []string{CompressNone}).receive("a", http.NoBody); err == nil {
		t.Error("what nobody asked for was taken")
	}
}

func FuzzDumpReport(f *testing.F) {
	f.Add("0011,1048576", 0)
	f.Add(",", 1)
	f.Fuzz(func(t *testing.T, said string, status int) {
		plan := newDumpPlan(0, 2<<20, 1<<20, digests[0], []string{CompressNone})
		task := plan.ask(t.Context(), "a")
		plan.report("a", task.id, status, said)
		if pos, _, zero := plan.state(); pos != 0 || zero > 1<<20 {
			t.Errorf("%q brought the plan to %d, %d", said, pos, zero)
		}
	})
}
