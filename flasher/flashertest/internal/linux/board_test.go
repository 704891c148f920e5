package linux_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/disk"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
	"github.com/dutflash/dutflash/internal/extents"
)

const mib = 1 << 20

func newDisk(t testing.TB, size int64) *disk.Disk {
	t.Helper()
	d, err := disk.New(size)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// networked is a board with a disk and a way to the host's loopback.
func networked(t testing.TB, d *disk.Disk) linux.Config {
	var dialer net.Dialer
	return linux.Config{
		Disks: []linux.Disk{{Name: "mmcblk1", Address: "4fb0000.mmc", Disk: d}},
		Lease: netip.MustParsePrefix("192.168.7.20/24"), Gateway: netip.MustParseAddr("192.168.7.1"),
		Dial: dialer.DialContext,
	}
}

func randomBytes(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func TestUploadAndDownload(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		tools []string
	}{
		{"busybox", nil},
		{"no base64", without("base64")},
		{"no base64, no hexdump", without("base64", "hexdump")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := session(t, linux.Config{Tools: tc.tools})
			data := randomBytes(30_000, 1)
			if err := s.Upload(testContext(t), "/tmp/file", data); err != nil {
				t.Fatal(err)
			}
			got, err := s.Download(testContext(t), "/tmp/file")
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("Download: %d bytes, %v", len(got), err)
			}
		})
	}
}

// without is all of busybox but some.
func without(names ...string) []string {
	var out []string
next:
	for _, n := range linux.BusyboxTools() {
		for _, no := range names {
			if n == no {
				continue next
			}
		}
		out = append(out, n)
	}
	return out
}

func TestBlockDevices(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 64*mib)
	cfg := networked(t, d)
	cfg.Disks = append(cfg.Disks, linux.Disk{Name: "mmcblk0", Address: "4f80000.mmc", Disk: newDisk(t, 32<<30)})
	s := session(t, cfg)
	b, err := s.BlockDevice(testContext(t), "/sys/class/block#4fb0000.mmc")
	if err != nil {
		t.Fatal(err)
	}
	if b.Path != "/dev/mmcblk1" || b.Size != 64*mib || b.ReadOnly || b.Partition || len(b.Mounted) != 0 || b.SectorSize != 512 {
		t.Errorf("%+v", b)
	}
	if b, err := s.BlockDevice(testContext(t), "/dev/mmcblk0"); err != nil || b.Size != 32<<30 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := s.BlockDevice(testContext(t), "/dev/mmcblk7"); !errors.Is(err, busybox.ErrNoDevice) {
		t.Errorf("missing disk: %v", err)
	}
	if _, err := s.BlockDevice(testContext(t), "/sys/class/block#soc"); !errors.Is(err, busybox.ErrNoDevice) {
		t.Errorf("an address of both: %v", err)
	}
	d.SetReadOnly(true)
	if b, err := s.BlockDevice(testContext(t), "/dev/mmcblk1"); err != nil || !b.ReadOnly {
		t.Errorf("read-only: %+v, %v", b, err)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	s := session(t, networked(t, newDisk(t, mib)))
	a, err := s.Udhcpc(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if a.IP.String() != "192.168.7.20/24" || a.Gateway.String() != "192.168.7.1" || a.Interface != "eth0" {
		t.Errorf("%+v", a)
	}
	want := busybox.Address{IP: netip.MustParsePrefix("10.1.2.3/16"), Gateway: netip.MustParseAddr("10.1.0.1")}
	if err := s.SetAddress(testContext(t), want); err != nil {
		t.Errorf("SetAddress: %v", err)
	}
	cfg := networked(t, newDisk(t, mib))
	cfg.NoUdhcpcScript = true
	if a, err := session(t, cfg).Udhcpc(testContext(t), ""); err != nil || a.IP.String() != "192.168.7.20/24" {
		t.Errorf("with our own script: %+v, %v", a, err)
	}
}

// flash runs our worker script on the board against the real handlers.
func flash(t testing.TB, s *busybox.Shell, image []byte) (*extents.Plan, error) {
	t.Helper()
	cfg := extents.Config{Image: bytes.NewReader(image)}
	for off := 0; off < len(image); off += mib {
		b := image[off:min(off+mib, len(image))]
		cfg.Chunks = append(cfg.Chunks, extents.Chunk{Offset: int64(off), Size: int64(len(b)), SHA256: sha256.Sum256(b), Zero: len(bytes.Trim(b, "\x00")) == 0})
	}
	p, err := extents.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/e/", http.StripPrefix("/e", p.Handler()))
	mux.HandleFunc("/worker.sh", func(w http.ResponseWriter, _ *http.Request) { w.Write(extents.Script()) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for more := true; more && err == nil; more = p.ReadBack() {
		err = s.Script(t.Context(), srv.URL+"/worker.sh", func(b []byte) { t.Logf("board: %s", b) }, "/dev/mmcblk1", srv.URL+"/e", "iflag=direct", "oflag=direct", "/tmp", "reader", "writer")
	}
	return p, err
}

func TestExtentsProveTheDisk(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault func(d *disk.Disk)
		want  error
	}{
		{name: "blank"},
		{name: "flipped once", fault: func(d *disk.Disk) { d.FlipBits(disk.Flips{At: []int64{3*mib + 17}, Once: true}) }},
		{name: "flipped always", fault: func(d *disk.Disk) { d.FlipBits(disk.Flips{At: []int64{3*mib + 17}}) }, want: extents.ErrVerify},
		{name: "write error", fault: func(d *disk.Disk) { d.FailWrites(5*mib+512, 512) }, want: extents.ErrWrite},
		{name: "read error", fault: func(d *disk.Disk) { d.FailReads(5*mib+512, 512) }, want: extents.ErrRead},
	} {
		t.Run(tc.name, func(t *testing.T) {
			image := randomBytes(8*mib+777, 3)
			clear(image[2*mib : 3*mib])
			d := newDisk(t, 64*mib)
			if tc.fault != nil {
				tc.fault(d)
			}
			s := session(t, networked(t, d))
			p, err := flash(t, s, image)
			if tc.want != nil {
				if err == nil || !errors.Is(p.Err(), tc.want) {
					t.Fatalf("%v, plan %v, want %v", err, p.Err(), tc.want)
				}
				return
			}
			if err != nil || p.Err() != nil {
				t.Fatalf("%v, plan %v, stats %+v", err, p.Err(), p.Stats())
			}
			if got, err := d.SHA256(int64(len(image))); err != nil || got != sha256.Sum256(image) {
				t.Errorf("the disk holds %x, %v", got, err)
			}
			if st := p.Stats(); st.Proved != int64(len(image)) {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestStreamAndVerifyScripts(t *testing.T) {
	t.Parallel()
	image := randomBytes(5*mib+1234, 9)
	d := newDisk(t, 16*mib)
	s := session(t, networked(t, d))
	whole := len(image) / 512 * 512
	mux := http.NewServeMux()
	mux.HandleFunc("/image", func(w http.ResponseWriter, _ *http.Request) { w.Write(image[:whole]) })
	mux.HandleFunc("/rest", func(w http.ResponseWriter, _ *http.Request) { w.Write(image[whole:]) })
	for _, n := range []string{"stream.sh", "verify.sh"} {
		text, err := os.ReadFile("../../../scripts/" + n)
		if err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc("/"+n, func(w http.ResponseWriter, _ *http.Request) { w.Write(text) })
	}
	srv := httptest.NewServer(mux)
	defer srv.Close()
	if err := s.Script(testContext(t), srv.URL+"/stream.sh", nil, "/dev/mmcblk1", "oflag=direct", srv.URL+"/image", srv.URL+"/rest", strconv.Itoa(whole)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Script(testContext(t), srv.URL+"/verify.sh", func(b []byte) { out.Write(b) }, "/dev/mmcblk1", strconv.Itoa(len(image)), "iflag=direct", "sha256sum"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", out.String())
}

func TestWhatOnlyTheSimulationCanShow(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 8*mib)
	d.WriteAt(randomBytes(8*mib, 5), 0)
	s := session(t, networked(t, d))
	if err := s.SetClock(testContext(t), time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct{ cmd, want string }{
		{"date -u +%Y-%m-%d", "2031-05-06\n"},
		{"printf 'The quick brown fox' | cksum", "2672498166 19\n"},
		{"blkdiscard -o 1048576 -l 1048576 /dev/mmcblk1; dd if=/dev/mmcblk1 bs=1M skip=1 count=1 2>/dev/null | tr -d '\\0' | wc -c", "0\n"},
		{"partprobe /dev/mmcblk1; echo $?; blockdev --getsize64 /dev/mmcblk1; blockdev --getss /dev/mmcblk1; blockdev --getro /dev/mmcblk1", "0\n8388608\n512\n0\n"},
		{"mkfifo /tmp/p; dd if=/dev/mmcblk1 bs=1M of=/tmp/p 2>/dev/null & p=$!; exec 3</tmp/p; head -c 3000000 <&3 >/dev/null; sed -n 's/^pos:[^0-9]*//p' /proc/$p/fdinfo/0; exec 3<&-; rm /tmp/p", "3145728\n"},
		{"readlink /proc/self/fd/0; cat /proc/1/cmdline | tr '\\0' ' '; cat /proc/sys/kernel/printk | cut -f1", "/dev/null\ninit 1\n"},
		{"ps | grep -c [i]nit; uname -sm; hostname; nproc", "1\nLinux aarch64\nboard\n2\n"},
		{"mount nothing; insmod x.ko; dd if=/dev/mmcblk9 of=/dev/null 2>&1", "mount: not known to the simulated board\ninsmod: not known to the simulated board\ndd: can't open '/dev/mmcblk9': No such file or directory\n"},
	} {
		if out, err := s.Run(testContext(t), tc.cmd+"; :"); err != nil || out != tc.want {
			t.Errorf("%s\n%q, %v, want %q", tc.cmd, out, err, tc.want)
		}
	}
}
