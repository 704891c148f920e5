package bootloader

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/uart"
	"github.com/dutflash/dutflash/transport/tftp"
)

// BenchmarkLoss loads 8 MiB with and without loss, as this U-Boot does it.
func BenchmarkLoss(b *testing.B) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	retransmits := 0
	s, err := tftp.New(tftp.WithEvents(func(e tftp.Event) {
		if e.Kind == tftp.Done {
			retransmits = e.Retransmits
		}
	}))
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Add("kernel", tftp.FromBytes(make([]byte, 8<<20))); err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(server) }()
	defer func() { s.Close(); <-done }()
	random := rand.New(rand.NewPCG(1, 2))
	for _, loss := range []float64{0, 0.01} {
		b.Run(fmt.Sprintf("%v", loss), func(b *testing.B) {
			b.SetBytes(8 << 20)
			for b.Loop() {
				m := &machine{ctx: b.Context(), tty: uart.New(1), ram: ram{}, env: map[string]string{"ipaddr": "10.0.0.1", "serverip": "10.0.0.2", "tftpblocksize": "1468", "tftpwindowsize": "8"},
					cfg: &Config{TFTPLoss: loss, Random: random.Float64, UDP: func(context.Context, netip.AddrPort) (net.PacketConn, net.Addr, error) {
						c, err := net.ListenPacket("udp", "127.0.0.1:0")
						return c, server.LocalAddr(), err
					}}}
				begun := time.Now()
				if status := m.tftpboot([]string{"tftpboot", "0x40400000", "kernel"}); status != 0 {
					b.Fatal("status", status)
				}
				b.ReportMetric(time.Since(begun).Seconds(), "s")
				b.ReportMetric(float64(retransmits), "retransmits")
			}
		})
	}
}
