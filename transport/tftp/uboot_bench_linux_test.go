package tftp_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/tftp"
	"github.com/dutflash/dutflash/uboot"
)

// kernelSize is that of Debian's arm64 kernel.
const kernelSize = 27 << 20

// benchWindow is what U-Boot is asked to ask for.
const benchWindow = 16

// BenchmarkUBoot loads a kernel into real U-Boot, from this package's server with
// and without windows and from Debian's servers, all over the same cable, and
// prints how they compare. U-Boot, the servers and the TCP/IP of the host are the real
// ones; delay and loss are made in this process, by the cable between QEMU and the
// host's tap device, since not every kernel has netem. With loss it is the median of five loads: where U-Boot's
// request or its ARP question is lost, U-Boot itself waits for five seconds. Run it with -benchtime=1x.
func BenchmarkUBoot(b *testing.B) {
	testtool.Need(b, "in.tftpd", "apt-get install tftpd-hpa")
	testtool.Need(b, "dnsmasq", "apt-get install dnsmasq-base")
	n := newTapnet(b)
	content := random(kernelSize)
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kernel"), content, 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	s := bootUBoot(b, n)
	load := func(server func(testing.TB, *tapnet, string) (stop func()), window int) time.Duration {
		defer server(b, n, dir)()
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
		defer cancel()
		restore, err := s.TFTPWindow(ctx, window, 1468)
		if err != nil {
			b.Fatal(err)
		}
		defer restore(ctx)
		begun := time.Now()
		_, err = s.TFTPBoot(ctx, uboot.File{Name: "kernel", Address: "0x40400000", Size: kernelSize})
		took := time.Since(begun)
		if err != nil {
			b.Fatal(err)
		}
		out, err := s.Run(ctx, fmt.Sprintf("crc32 0x40400000 0x%x", kernelSize))
		if want := fmt.Sprintf("%08x", crc32.ChecksumIEEE(content)); err != nil || !strings.HasSuffix(out, want) {
			b.Fatalf("%v: %s, want %s", err, out, want)
		}
		return took
	}
	for _, tc := range []struct {
		name  string
		delay time.Duration
		loss  int64 // in a million
	}{{"direct", 0, 0}, {"delay 0.5 ms each way", 500 * time.Microsecond, 0}, {"loss 1 %", 0, 10_000}} {
		b.Run(tc.name, func(b *testing.B) {
			n.delay.Store(int64(tc.delay))
			n.loss.Store(tc.loss)
			defer func() { b.Logf("the network card slept %d times", n.woken.Swap(0)) }()
			for b.Loop() {
				if tc.loss > 0 {
					lossy, lossless := make([]time.Duration, 5), make([]time.Duration, 5)
					for i := range lossy {
						n.loss.Store(tc.loss)
						lossy[i] = load(dutflashServer, benchWindow)
						n.loss.Store(0)
						lossless[i] = load(dutflashServer, benchWindow)
					}
					slices.Sort(lossy)
					slices.Sort(lossless)
					b.ReportMetric(lossless[2].Seconds()/lossy[2].Seconds(), "of-lossless")
					b.Logf("with loss %v, without %v", lossy, lossless)
					continue
				}
				ours := load(dutflashServer, benchWindow)
				report := func(name string, d time.Duration) {
					b.ReportMetric(kernelSize/1e6/d.Seconds(), name+"-MB/s")
				}
				report("ours-windows", ours)
				for name, took := range map[string]time.Duration{
					"ours-lockstep": load(dutflashServer, 1), "tftpd-hpa": load(hpaServer, benchWindow), "dnsmasq": load(dnsmasqServer, benchWindow),
				} {
					report(name, took)
					b.ReportMetric(took.Seconds()/ours.Seconds(), "faster-than-"+name)
				}
			}
		})
	}
}

func dutflashServer(tb testing.TB, n *tapnet, dir string) (stop func()) {
	s, err := tftp.New(tftp.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	if err != nil {
		tb.Fatal(err)
	}
	file, err := tftp.FromPath(filepath.Join(dir, "kernel"))
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Add("kernel", file); err != nil {
		tb.Fatal(err)
	}
	var conn net.PacketConn
	n.inside(tb, func() (err error) {
		conn, err = net.ListenPacket("udp", hostAddress+":69")
		return err
	})
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(conn) }()
	return func() { s.Close(); <-done }
}

func hpaServer(tb testing.TB, n *tapnet, dir string) (stop func()) {
	return daemon(tb, n, "in.tftpd", "-L", "-a", hostAddress+":69", "-s", dir)
}

func dnsmasqServer(tb testing.TB, n *tapnet, dir string) (stop func()) {
	return daemon(tb, n, "dnsmasq", "-k", "-C", "/dev/null", "--port=0", "--enable-tftp", "--tftp-root="+dir, "--listen-address="+hostAddress,
		"--user=root", "--pid-file=", "--log-facility=-")
}

// daemon runs a server in the namespace until stop.
func daemon(tb testing.TB, n *tapnet, command ...string) (stop func()) {
	cmd := exec.Command("ip", append([]string{"netns", "exec", n.name}, command...)...)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // a benchmark may wait
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// qemuPort is a console on QEMU's standard input and output.
type qemuPort struct {
	io.Reader
	io.Writer
	close func()
}

func (p qemuPort) Close() error { p.close(); return nil }

func bootUBoot(b *testing.B, n *tapnet) *uboot.Session {
	b.Helper()
	bin := testtool.Need(b, "qemu-system-aarch64", "apt-get install qemu-system-arm")
	image := "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
	testtool.NeedFile(b, image, "apt-get install u-boot-qemu")
	cmd := exec.Command(bin, append(n.monitorArgs(), "-M", "virt", "-cpu", "cortex-a57", "-m", "1024", "-bios", image, "-display", "none", "-serial", "stdio", "-monitor", "none",
		"-netdev", "stream,id=n0,server=off,addr.type=unix,addr.path="+n.socket, "-device", "virtio-net-device,netdev=n0")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	r, w := io.Pipe()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	c, err := console.New(qemuPort{r, in, func() { cmd.Process.Kill(); r.Close(); cmd.Wait() }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	s, err := uboot.New(c)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if err := s.Interrupt(ctx); err != nil {
		b.Fatal(err)
	}
	host := netip.MustParseAddr(hostAddress)
	if err := s.SetNetwork(ctx, uboot.Network{Address: netip.MustParsePrefix(boardAddress + "/24"), Server: host}); err != nil {
		b.Fatal(err)
	}
	return s
}
