package console_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"runtime"
	"testing"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// flood is a port that prints log lines without the awaited text, as fast as
// they are read, and then ends.
type flood struct {
	left int
	line []byte
	at   int
}

var logLine = []byte("[   12.345678] mmcblk0: mmc0:0001 DG4032 29.1 GiB # progress [####    ] = > ~\r\n")

func (f *flood) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && n < f.left {
		k := copy(p[n:min(len(p), f.left)], f.line[f.at:])
		f.at = (f.at + k) % len(f.line)
		n += k
	}
	f.left -= n
	return n, nil
}
func (f *flood) Write(p []byte) (int, error) { return len(p), nil }
func (f *flood) Close() error                { return nil }

// BenchmarkUnmatched scans output that nothing matches, with the matchers of a
// U-Boot session. heap-MB is what the live heap grew by while it ran: it must
// not depend on the amount of output.
func BenchmarkUnmatched(b *testing.B) {
	const size = 64 << 20
	for _, bc := range []struct {
		name string
		opts []expect.ExpectOpt
		con  []console.Option
	}{
		{"string", []expect.ExpectOpt{expect.String("=> ")}, nil},
		{"regexp", []expect.ExpectOpt{expect.Regexp(regexp.MustCompile(`(?m)^(=>|U-Boot>|MX8 =>) $`))}, nil},
		{"prompts and errors", []expect.ExpectOpt{
			expect.String("=> ", "U-Boot> ", "Retry time exceeded", "Kernel panic - not syncing"),
			expect.Regexp(regexp.MustCompile(`DUT-[0-9a-f]{8}:(\d+)`)),
		}, nil},
		{"transcript and secrets", []expect.ExpectOpt{expect.String("=> ")},
			[]console.Option{console.WithTranscript(io.Discard), console.WithSecret("hunter2hunter2"), console.WithSecret("eyJhbGciOi")}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(size)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for b.Loop() {
				c, err := console.New(&flood{left: size, line: logLine}, bc.con...)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.Expect(context.Background(), bc.opts...); !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1e6, "heap-MB")
				if err := c.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUnmatchedGoExpect is the same with go-expect's own Console, at sizes
// at which it finishes: its cost grows with the square of the output.
func BenchmarkUnmatchedGoExpect(b *testing.B) {
	for _, size := range []int{8 << 10, 32 << 10} {
		b.Run(byteSize(size), func(b *testing.B) {
			data, err := io.ReadAll(&flood{left: size, line: bytes.ReplaceAll(logLine, []byte("\r"), nil)})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				ec, err := expect.NewConsole()
				if err != nil {
					b.Skipf("go-expect needs a pseudo-terminal, which this machine does not give: %v", err)
				}
				go func() {
					ec.Tty().Write(data)
					ec.Tty().WriteString("!end of output!")
				}()
				if _, err := ec.Expect(expect.String("=> ", "!end of output!")); err != nil {
					b.Fatal(err)
				}
				ec.Close()
			}
		})
	}
}

func byteSize(n int) string {
	return map[int]string{8 << 10: "8KiB", 32 << 10: "32KiB"}[n]
}
