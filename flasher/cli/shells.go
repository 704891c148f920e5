package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/transport/console"
)

// What the shells do, and what each makes of the size of the terminal.
const (
	bootloaderHelp = `Power-cycle the board, stop it at U-Boot's prompt, and attach the terminal; Ctrl-]
leaves it, and the board is switched off then. U-Boot's prompt knows nothing of the
terminal's size, and need not be told where that changes.`
	busyboxHelp = `Power-cycle the board, boot the bundle's kernel and initramfs, and attach the terminal
to the shell; Ctrl-] leaves it, and the board is switched off then. The shell is told
the size of the terminal, and again at its next idle prompt where that changes.`
	consoleHelp = `Attach the terminal to the serial line and touch nothing else: the board stays as it
is; Ctrl-] leaves it. A serial line does not carry the terminal's size, and nobody
knows here which program listens: after a login, and where the size changes, tell a
Linux on the board by its command resize, or with stty rows 50 cols 160.`
)

func bootloaderShell(s *shared) *cobra.Command {
	var f shellFlags
	cmd := shellCommand(s, &f, "bootloader-shell", "Open U-Boot's prompt", bootloaderHelp, 1, func(cmd *cobra.Command) (attachable, error) {
		fl, err := s.flasher(cmd, f.options()...)
		if err != nil {
			return nil, err
		}
		return fl.BootloaderShell(cmd.Context())
	})
	f.add(cmd)
	return cmd
}

func busyboxShell(s *shared) *cobra.Command {
	var f shellFlags
	cmd := shellCommand(s, &f, "busybox-shell", "Boot the board's busybox and open its shell", busyboxHelp, 1, func(cmd *cobra.Command) (attachable, error) {
		fl, err := s.flasher(cmd, f.options()...)
		if err != nil {
			return nil, err
		}
		sh, err := fl.BusyboxShell(cmd.Context())
		if err != nil {
			return nil, err
		}
		if err := sh.Interactive(cmd.Context()); err != nil {
			return nil, errors.Join(err, sh.Close())
		}
		size, prompt, err := passSize(cmd, sh.Console())
		if err != nil {
			return nil, errors.Join(err, sh.Close())
		}
		return sized{sh, size, prompt}, nil
	})
	f.add(cmd)
	return cmd
}

// shellFlags are those of the shells that boot the board.
type shellFlags struct {
	overrideFlags
	transcriptFlag
	keepOn bool
}

func (f *shellFlags) add(cmd *cobra.Command) {
	f.overrideFlags.add(cmd)
	cmd.Flags().BoolVar(&f.keepOn, "no-power-off", false, "leave the board on at the end")
}

func (f *shellFlags) options() []flasher.Option {
	return append(f.overrideFlags.options(), flasher.WithPowerOff(!f.keepOn))
}

// consoleCommand attaches to the serial line and leaves the power as it is.
func consoleCommand(s *shared) *cobra.Command {
	var f shellFlags
	return shellCommand(s, &f, "console", "Open the serial console and touch nothing else", consoleHelp, 24, func(cmd *cobra.Command) (attachable, error) {
		b, err := s.one()
		if err != nil {
			return nil, err
		}
		open, err := b.OpenConsole()
		if err != nil {
			return nil, usageError{err}
		}
		port, err := open(cmd.Context())
		if err != nil {
			return nil, cablesError{err}
		}
		var opts []console.Option
		if s.transcript != nil {
			opts = append(opts, console.WithTranscript(s.transcript))
		}
		c, err := console.New(port, opts...)
		if err != nil {
			return nil, errors.Join(err, port.Close())
		}
		return bare{c}, nil
	})
}

// attachable is what a person is connected to.
type attachable interface {
	Console() *console.Console
	Close() error
}

// bare is a console alone.
type bare struct{ c *console.Console }

func (b bare) Console() *console.Console { return b.c }
func (b bare) Close() error              { return b.c.Close() }

func shellCommand(s *shared, f *shellFlags, use, short, long string, replay int, open func(*cobra.Command) (attachable, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short + "; Ctrl-] leaves it",
		Long:  long,
		Args:  noArgs,
	}
	f.transcriptFlag.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		var finish func() error
		if s.transcript, finish, err = f.transcriptFlag.open(cmd.ErrOrStderr()); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, finish()) }()
		sh, err := open(cmd)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sh.Close()) }()
		s.attached.Store(true)
		opts := []console.AttachOption{console.WithReplay(replay)}
		if sh, ok := sh.(sized); ok && sh.prompt != nil {
			lines, stop := followSize(cmd.Context(), cmd.OutOrStdout(), sh.size)
			defer stop()
			opts = append(opts, console.WithIdleLines(sh.prompt, lines))
		}
		return attach(cmd.Context(), sh.Console(), cmd.InOrStdin(), cmd.OutOrStdout(), opts...)
	}
	return cmd
}

// attach hands the console to a person. The end of the input is no error.
func attach(ctx context.Context, c *console.Console, in io.Reader, out io.Writer, opts ...console.AttachOption) error {
	err := c.Attach(ctx, in, out, opts...)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
