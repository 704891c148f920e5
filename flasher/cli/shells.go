package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/transport/console"
)

func bootloaderShell(s *shared) *cobra.Command {
	var use overrideFlags
	cmd := shellCommand("bootloader-shell", "Open U-Boot's prompt", func(cmd *cobra.Command) (attachable, error) {
		f, err := s.flasher(cmd, use.options()...)
		if err != nil {
			return nil, err
		}
		return f.BootloaderShell(cmd.Context())
	})
	use.add(cmd)
	return cmd
}

func busyboxShell(s *shared) *cobra.Command {
	var use overrideFlags
	cmd := shellCommand("busybox-shell", "Boot the board's busybox and open its shell", func(cmd *cobra.Command) (attachable, error) {
		f, err := s.flasher(cmd, use.options()...)
		if err != nil {
			return nil, err
		}
		sh, err := f.BusyboxShell(cmd.Context())
		if err != nil {
			return nil, err
		}
		if err := sh.Interactive(cmd.Context()); err != nil {
			return nil, errors.Join(err, sh.Close())
		}
		return sh, nil
	})
	use.add(cmd)
	return cmd
}

// consoleCommand attaches to the serial line and leaves the power as it is.
func consoleCommand(s *shared) *cobra.Command {
	return shellCommand("console", "Open the serial console and touch nothing else", func(cmd *cobra.Command) (attachable, error) {
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
			return nil, err
		}
		c, err := console.New(port)
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

func shellCommand(use, short string, open func(*cobra.Command) (attachable, error)) *cobra.Command {
	var transcript string
	cmd := &cobra.Command{
		Use:   use,
		Short: short + "; Ctrl-] leaves it",
		Args:  args(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&transcript, "transcript", "", "file that gets what the session prints")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		var opts []console.AttachOption
		if transcript != "" {
			file, err := os.Create(transcript)
			if err != nil {
				return usageError{fmt.Errorf("--transcript: %w", err)}
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			opts = append(opts, console.WithCapture(file))
		}
		sh, err := open(cmd)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sh.Close()) }()
		return attach(cmd.Context(), sh.Console(), cmd.InOrStdin(), cmd.OutOrStdout(), opts)
	}
	return cmd
}

// attach hands the console to a person. The end of the input is no error.
func attach(ctx context.Context, c *console.Console, in io.Reader, out io.Writer, opts []console.AttachOption) error {
	err := c.Attach(ctx, in, out, opts...)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
