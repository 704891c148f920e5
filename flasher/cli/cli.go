// Package cli is dutflash's command tree, importable, so that a lab can hang it
// under its own tool:
//
//	root.AddCommand(cli.New())
//
// So far it has flash, bootloader-shell and busybox-shell for a board of a board
// file (see flasher/config).
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/transport/console"
)

// shared are the flags of every command.
type shared struct {
	file, board  string
	consoleDebug bool
	verbose      bool
}

// New returns the command "dutflash" with its subcommands. They read and write
// the streams that are set on it, and obey its context.
func New() *cobra.Command {
	s := &shared{}
	root := &cobra.Command{
		Use:           "dutflash",
		Short:         "Flash disk images onto embedded boards",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&s.file, "config", "boards.yaml", "board file")
	root.PersistentFlags().StringVar(&s.board, "board", "", "name of the board; not needed where the file has one")
	root.PersistentFlags().BoolVarP(&s.verbose, "verbose", "v", false, "log every step on standard error")
	root.PersistentFlags().BoolVar(&s.consoleDebug, "console-debug", false, "show the board's console on standard error")
	root.AddCommand(flashCommand(s), bootloaderShell(s), busyboxShell(s))
	return root
}

// flasher returns the Flasher of the chosen board.
func (s *shared) flasher(cmd *cobra.Command, opts ...flasher.Option) (*flasher.Flasher, error) {
	f, err := config.Load(s.file)
	if err != nil {
		return nil, err
	}
	board, err := f.Board(s.board)
	if err != nil {
		return nil, err
	}
	if s.verbose {
		opts = append(opts, flasher.WithLogger(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))))
	}
	if s.consoleDebug {
		opts = append(opts, flasher.WithTranscript(cmd.ErrOrStderr()))
	}
	return board.Flasher(opts...)
}

func flashCommand(s *shared) *cobra.Command {
	var target, sum, bundle string
	var keepOn bool
	cmd := &cobra.Command{
		Use:   "flash FILE",
		Short: "Flash an image (a path, - or a URL) and prove that it is on the disk",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := &progress{out: cmd.ErrOrStderr()}
			f, err := s.flasher(cmd, flasher.WithProgress(p.event), flasher.WithPowerOff(!keepOn))
			if err != nil {
				return err
			}
			opts := []flasher.FlashOption{flasher.WithTarget(target), flasher.WithImageSHA256(sum)}
			if bundle != "" {
				opts = append(opts, flasher.WithBundle(bundle))
			}
			res, err := f.Flash(cmd.Context(), args[0], opts...)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s holds the image: sha256 %s, %d bytes, %d written, in %v\n",
				res.Device, res.SHA256, res.ImageBytes, res.WrittenBytes, res.Elapsed.Round(time.Second))
			return nil
		},
	}
	cmd.Flags().StringVar(&target, "target", "", "target to flash, a name of the manifest or a device path")
	cmd.Flags().StringVar(&target, "partition", "", "the same as --target")
	cmd.Flags().StringVar(&sum, "os-image-checksum", "", "SHA-256 of the image file as it is stored")
	cmd.Flags().StringVar(&bundle, "force-flash-bundle", "", "flasher bundle to use in place of the board's")
	cmd.Flags().BoolVar(&keepOn, "no-power-off", false, "leave the board on at the end")
	cmd.MarkFlagsMutuallyExclusive("target", "partition")
	return cmd
}

func bootloaderShell(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "bootloader-shell",
		Short: "Open U-Boot's prompt; Ctrl-] leaves it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			f, err := s.flasher(cmd)
			if err != nil {
				return err
			}
			sh, err := f.BootloaderShell(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, sh.Close()) }()
			return attach(cmd.Context(), sh.Console(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

func busyboxShell(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "busybox-shell",
		Short: "Boot the board's busybox and open its shell; Ctrl-] leaves it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			f, err := s.flasher(cmd)
			if err != nil {
				return err
			}
			sh, err := f.BusyboxShell(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, sh.Close()) }()
			if err := sh.Interactive(cmd.Context()); err != nil {
				return err
			}
			return attach(cmd.Context(), sh.Console(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// attach hands the console to a person. The end of the input is no error.
func attach(ctx context.Context, c *console.Console, in io.Reader, out io.Writer) error {
	err := c.Attach(ctx, in, out)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// progress prints events as plain lines, seldom enough to read.
type progress struct {
	out  io.Writer
	last time.Time
}

const progressInterval = 2 * time.Second

func (p *progress) event(ev flasher.Event) {
	switch {
	case ev.State == flasher.StateStarted:
		p.last = ev.Time
		fmt.Fprintln(p.out, ev.Step)
	case ev.State == flasher.StateRunning && ev.Total > 0 && ev.Time.Sub(p.last) >= progressInterval:
		p.last = ev.Time
		fmt.Fprintf(p.out, "%s: %d %% of %.0f MB, %.1f MB/s, %v left\n", ev.Step, 100*ev.Done/ev.Total,
			float64(ev.Total)/1e6, ev.Rate/1e6, ev.Remaining.Round(time.Second))
	}
}
