package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	expect "github.com/Netflix/go-expect"
	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/transport/console"
)

func boardCommand(s *shared) *cobra.Command {
	cmd := &cobra.Command{Use: "board", Short: "List the boards of the file, or check one"}
	cmd.AddCommand(
		uses(&cobra.Command{Use: "list", Short: "List the boards of the board file", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				f, err := s.load()
				if err != nil {
					return err
				}
				for _, name := range f.Names() {
					fmt.Fprintln(c.OutOrStdout(), name)
				}
				return nil
			}}, "config"),
		uses(&cobra.Command{Use: "check", Short: "Try everything that a flash needs of this host and of the cables",
			Long: `Try everything that a flash needs of this host and of the cables: the bundle (its
registry, the manifest, the variant and the target), the TFTP and the HTTP port, the
serial line and the power switch. The board is power-cycled, listened to until it says
something, and left off. Nothing is loaded or written. The exit code is that of the
first check that failed: 3 (2 for a name that the bundle does not have), 4, 4 and 5,
in this order.`,
			Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				b, err := s.one()
				if err != nil {
					return err
				}
				return s.check(c, b)
			}}, "config", "board", "console-debug", "verbose"),
	)
	return cmd
}

// errCheck is what a check that found something ends with; what it found has been
// printed.
var errCheck = errors.New("the board is not ready for a flash")

// checkError has the exit code of the first check that failed.
type checkError struct {
	code int
	error
}

func (c checkError) Unwrap() error { return c.error }

// check makes all checks, and prints one line for each.
func (s *shared) check(cmd *cobra.Command, b *config.Board) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	cables := func(ctx context.Context, b *config.Board) (string, error) { return s.checkCables(ctx, cmd, b) }
	failed, code := 0, exitOther
	for _, c := range []struct {
		what string
		code int
		do   func(context.Context, *config.Board) (string, error)
	}{
		{"bundle", exitSource, checkBundle}, {"TFTP", exitHost, checkTFTP}, {"HTTP", exitHost, checkHTTP}, {"cables", exitCables, cables},
	} {
		limited, cancel := context.WithTimeout(ctx, checkTimeout)
		said, err := c.do(limited, b)
		cancel()
		if err != nil && ctx.Err() != nil { // somebody interrupts it
			return fmt.Errorf("board check: %s: %w", c.what, err)
		}
		if err != nil {
			if failed++; failed == 1 {
				code = c.code
				if wrongName(err) {
					code = exitUsage
				}
			}
			fmt.Fprintf(out, "%-7s FAILED: %v\n", c.what, err)
			continue
		}
		fmt.Fprintf(out, "%-7s ok: %s\n", c.what, said)
	}
	if failed > 0 {
		return checkError{code, fmt.Errorf("board check: %w: %d of 4 checks failed", errCheck, failed)}
	}
	return nil
}

// checkTimeout is for one check; a bundle may have to be pulled.
const checkTimeout = 10 * time.Minute

func checkBundle(ctx context.Context, b *config.Board) (string, error) {
	var opts []bundle.Option
	if b.CacheDir != "" {
		opts = append(opts, bundle.WithCacheDir(b.CacheDir))
	}
	findings, err := bundle.Lint(ctx, b.FlasherBundle, opts...)
	if err != nil {
		return "", err
	}
	for _, f := range findings {
		if f.Severity == bundle.SeverityError {
			return "", fmt.Errorf("%s: %s", b.FlasherBundle, f)
		}
	}
	return b.FlasherBundle, checkNames(ctx, b, opts)
}

// checkNames looks for what the board file names in the bundle.
func checkNames(ctx context.Context, b *config.Board, opts []bundle.Option) error {
	bun, err := bundle.Open(ctx, b.FlasherBundle, opts...)
	if err != nil {
		return err
	}
	defer bun.Close()
	m, err := bun.Manifest(b.Manifest)
	if err != nil {
		return err
	}
	if _, err := m.Variant(b.Variant); b.Variant != "" && err != nil {
		return err
	}
	// A device that the board has is named by its path.
	if t := b.DefaultTarget; t != "" && !strings.HasPrefix(t, "/") {
		_, err = m.Target(t)
	}
	return err
}

func checkTFTP(ctx context.Context, b *config.Board) (string, error) {
	switch {
	case b.Load != flasher.LoadAuto && b.Load != flasher.LoadTFTP:
		return "not needed to load by " + string(b.Load), nil
	case b.TFTPServer.IsValid() && b.TFTPDir == "":
		return "the files are on " + b.TFTPServer.String() + ", which was not asked for them", nil
	}
	if b.TFTPDir != "" {
		f, err := os.CreateTemp(b.TFTPDir, ".dutflash-check-*")
		if err != nil {
			return "", err
		}
		return "files go to " + b.TFTPDir, errors.Join(f.Close(), os.Remove(f.Name()))
	}
	var lc net.ListenConfig
	at := net.JoinHostPort(b.BindAddress, "69")
	conn, err := lc.ListenPacket(ctx, "udp", at)
	if err != nil {
		return "", fmt.Errorf("%w (ways out: setcap cap_net_bind_service=+ep on the program, sysctl net.ipv4.ip_unprivileged_port_start=69, or tftp_dir or load in the board file)", err)
	}
	return "port 69 can be had", conn.Close()
}

// checkHTTP binds the port of the HTTP server, which every flash needs.
func checkHTTP(ctx context.Context, b *config.Board) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(b.BindAddress, strconv.Itoa(b.HTTPPort)))
	if err != nil {
		return "", fmt.Errorf("%w (choose another http_port or bind_address in the board file)", err)
	}
	said := "any free port can be had"
	if b.HTTPPort != 0 {
		said = fmt.Sprintf("port %d can be had", b.HTTPPort)
	}
	return said, l.Close()
}

// bootSign is how long a board may be silent after power on.
const bootSign = 30 * time.Second

// checkCables switches the board on and listens to it.
func (s *shared) checkCables(ctx context.Context, cmd *cobra.Command, b *config.Board) (said string, err error) {
	open, err := b.OpenConsole()
	if err != nil {
		return "", err
	}
	pwr, err := b.Power()
	if err != nil {
		return "", err
	}
	s.hold(pwr)
	port, err := open(ctx)
	if err != nil {
		return "", fmt.Errorf("serial line: %w", err)
	}
	var opts []console.Option
	if s.consoleDebug {
		opts = append(opts, console.WithTranscript(cmd.ErrOrStderr()))
	}
	con, err := console.New(port, opts...)
	if err != nil {
		return "", errors.Join(err, port.Close())
	}
	defer con.Close()
	defer func() {
		off, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.PowerTimeout)
		defer cancel()
		if offErr := power.Logged(s.log, pwr, "off", func() error { return pwr.Off(off) }); offErr != nil {
			err = errors.Join(err, fmt.Errorf("power off: %w", offErr))
		}
	}()
	cycling, done := context.WithTimeout(ctx, 2*b.PowerTimeout+max(b.CycleWait, power.DefaultCycleWait))
	err = power.Logged(s.log, pwr, "cycle", func() error { return power.Cycle(cycling, pwr, b.CycleWait) })
	done()
	if err != nil {
		return "", fmt.Errorf("power: %w", err)
	}
	until, cancel := context.WithTimeout(ctx, bootSign)
	defer cancel()
	if _, err := con.Expect(until, expect.Regexp(regexp.MustCompile(`\S`))); ctx.Err() != nil {
		return "", err
	} else if err != nil {
		return "", fmt.Errorf("the board said nothing within %v of power on: check the switch's port, the serial cable and the baud rate: %w", bootSign, err)
	}
	return "the board was switched on, spoke, and was switched off", nil
}
