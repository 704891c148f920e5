package flasher_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

const mib = 1 << 20

// eachArch runs a test on both virtual boards side by side, so that nothing is
// tuned to one.
func eachArch(t *testing.T, test func(t *testing.T, arch virtboard.Arch)) {
	for _, arch := range []virtboard.Arch{virtboard.ARM64, virtboard.ARM} {
		t.Run(string(arch), func(t *testing.T) {
			t.Parallel()
			test(t, arch)
		})
	}
}

// rig is a virtual board with a blank disk, and what a test wants to look at
// afterwards.
type rig struct {
	board *virtboard.Board
	disk  string
	size  int64
	cache string

	console syncBuffer
	mu      sync.Mutex
	events  []flasher.Event
}

// newRig sets up a board that is off. The console is in the log of a test that
// fails.
func newRig(t testing.TB, arch virtboard.Arch, diskSize int64) *rig {
	t.Helper()
	return newRigWith(t, diskSize, virtboard.Config{Arch: arch})
}

// newRigWith is newRig for a board that is special in some way.
func newRigWith(t testing.TB, diskSize int64, cfg virtboard.Config) *rig {
	t.Helper()
	arch := cfg.Arch
	testtool.Need(t, map[virtboard.Arch]string{virtboard.ARM64: "qemu-system-aarch64", virtboard.ARM: "qemu-system-arm"}[arch],
		"apt-get install qemu-system-arm u-boot-qemu")
	testtool.NeedFile(t, "/usr/lib/u-boot/qemu_"+string(arch)+"/u-boot.bin", "apt-get install u-boot-qemu")
	r := &rig{disk: filepath.Join(t.TempDir(), "disk.img"), size: diskSize, cache: t.TempDir()}
	if err := os.WriteFile(r.disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(r.disk, diskSize); err != nil {
		t.Fatal(err)
	}
	var err error
	cfg.Disk = r.disk
	if r.board, err = virtboard.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.board.Close(); err != nil {
			t.Errorf("close the board: %v", err)
		}
		if t.Failed() {
			t.Logf("console:\n%s", r.console.String())
		}
	})
	return r
}

func (r *rig) open(context.Context) (io.ReadWriteCloser, error) { return r.board.Console(), nil }

// flasher returns a Flasher for the board. Its limits are wide, because machines
// that test are slow and shared.
func (r *rig) flasher(t testing.TB, bundle string, opts ...flasher.Option) *flasher.Flasher {
	t.Helper()
	f, err := flasher.New(r.open, r.board, bundle, append([]flasher.Option{
		flasher.WithNetwork(r.board.Network()),
		flasher.WithCacheDir(r.cache),
		flasher.WithTranscript(&r.console),
		flasher.WithCycleWait(10 * time.Millisecond),
		flasher.WithProgress(func(ev flasher.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, ev)
		}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// isOff fails the test if the board runs.
func (r *rig) isOff(t testing.TB) {
	t.Helper()
	if on, err := r.board.State(t.Context()); on || err != nil {
		t.Errorf("the board is on: %v, %v; want it off", on, err)
	}
}

// leftNothing fails the test if the servers of an operation still hold their port
// or a file that was being made is still in the cache.
func (r *rig) leftNothing(t testing.TB) {
	t.Helper()
	conn, err := r.board.Network().ListenPacket(t.Context(), "udp", ":69")
	if err != nil {
		t.Errorf("the TFTP port is still held: %v", err)
	} else {
		conn.Close()
	}
	err = filepath.WalkDir(r.cache, func(path string, d fs.DirEntry, err error) error {
		if name := d.Name(); err == nil && !d.IsDir() && (strings.Contains(name, "tmp") || strings.Contains(name, "part") || strings.Contains(name, "prepar")) {
			t.Errorf("left in the cache: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// blank says whether all bytes are zero, without a loop that the race detector
// would watch.
func blank(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// isBlank fails the test if anything was written to the disk.
func (r *rig) isBlank(t testing.TB) {
	t.Helper()
	f, err := os.Open(r.disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, mib)
	for off := int64(0); ; {
		n, err := f.Read(buf)
		if !blank(buf[:n]) {
			t.Fatalf("something was written to the disk near offset %d", off)
		}
		off += int64(n)
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// holds fails the test unless the disk begins with the image and is untouched
// behind it.
func (r *rig) holds(t testing.TB, image []byte) {
	t.Helper()
	disk, err := os.ReadFile(r.disk)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(disk[:len(image)], image) {
		t.Error("the disk does not hold the image")
	}
	if !blank(disk[len(image):]) {
		t.Error("something was written behind the image")
	}
}

// bundleDir makes the board's flasher bundle as a directory.
func bundleDir(t testing.TB, arch virtboard.Arch, b debian.Bundle) string {
	t.Helper()
	testtool.Need(t, "apt-get", "a Debian system")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, err := debian.Prepare(ctx, arch, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := s.WriteBundle(ctx, dir, b); err != nil {
		t.Fatal(err)
	}
	return dir
}

// testImage is a disk image with data, zeros, and an end that is no whole sector.
func testImage(size int) []byte {
	image := make([]byte, size)
	r := rand.NewChaCha8([32]byte{7})
	for off := 0; off < size; off += 12 * mib {
		r.Read(image[off:min(off+5*mib, size)])
	}
	r.Read(image[size-min(size, 100):])
	return image
}

// imageFile writes a raw image into a file.
func imageFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// compressed runs a C tool over a file and returns the name of its output.
func compressed(t testing.TB, path, tool, suffix string, args ...string) string {
	t.Helper()
	bin := testtool.Need(t, tool, "apt-get install xz-utils zstd bzip2 gzip")
	out, err := os.Create(path + suffix)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(t.Context(), bin, append(args, "-c", path)...)
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// startDockerRegistry starts Debian's docker-registry, the CNCF distribution, on
// loopback and returns its host and port.
func startDockerRegistry(t testing.TB) string {
	t.Helper()
	bin := testtool.Need(t, "docker-registry", "apt-get install docker-registry")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " + dir + "/blobs}}\nhttp: {addr: \"" + host + "\"}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var output syncBuffer
	cmd := exec.Command(bin, "serve", config)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		res, err := http.Get("http://" + host + "/v2/")
		if err == nil {
			res.Body.Close()
			return host
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("docker-registry does not answer: %v\n%s", err, output.String())
		}
	}
}

// orasPush pushes a bundle directory in the way the seed describes, with the
// real oras command.
func orasPush(t testing.TB, dir, ref string) {
	t.Helper()
	bin := testtool.Need(t, "oras", "go install oras.land/oras/cmd/oras@v1.2.3")
	args := []string{"push", "--plain-http", ref, "--artifact-type", "application/vnd.oci.bundle.v1", "manifest.yaml:application/yaml"}
	files, err := filepath.Glob(filepath.Join(dir, "data", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		args = append(args, "data/"+filepath.Base(f)+":application/octet-stream")
	}
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("oras %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
