// Package cli is dutflash's command tree, importable, so that a lab can hang it
// under its own tool:
//
//	root.AddCommand(cli.New())
//
// The boards are in a board file or in an exporter file of Jumpstarter (see
// flasher/config); a lab's own drivers are added with [WithConfig].
//
// [Run] is the main function of a program around such a tree: it takes care of
// signals, prints errors, and returns the exit code.
//
// With --json, each line is an object: events with time, step, state, and where they
// are known done, total, wire (bytes over the network), bytes_per_second, seconds_left,
// message and error; the last has the result (see [flasher.Result]) or error, and
// exit_code.
//
// On a terminal the progress of a flash or a dump is drawn; colours are left out where
// NO_COLOR is set, and lines are printed where TERM is dumb.
//
// In busybox-shell the board's shell is told how large the terminal is, and again where
// that changes: at a prompt that waits (see console.WithIdleLines). U-Boot need not be
// told, and console leaves it to the person: see the help of these commands.
//
// # Exit codes
//
// [ExitCode] gives the code for an error, so that a script knows whose fault it
// was:
//
//	0    done and proved
//	1    something else
//	2    the command line, the board file or an option is wrong
//	3    the bundle or the image cannot be had, or is damaged
//	4    a port or a server of this host
//	5    the console or the power switch
//	6    the board did not get to its shell
//	7    the flash failed on the board
//	8    what is on the disk is not the image
//	130  interrupted
package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config"
)

// Option configures the tree.
type Option func(*shared)

// WithConfig adds options that board files are read with, such as drivers of
// one's own.
func WithConfig(opts ...config.Option) Option {
	return func(s *shared) { s.config = append(s.config, opts...) }
}

// WithFlasher adds options for every Flasher, ahead of what the flags say, such as
// a network of one's own.
func WithFlasher(opts ...flasher.Option) Option {
	return func(s *shared) { s.extra = append(s.extra, opts...) }
}

// shared are the flags of every command.
type shared struct {
	file, board  string
	transcript   io.Writer // or nil
	consoleDebug bool
	attached     atomic.Bool // a person sees the console, who would see it twice
	verbose      bool
	log          *slog.Logger // what --verbose shows
	config       []config.Option
	extra        []flasher.Option
	held         []func() error // what the command does at its end
}

// New returns the command "dutflash" with its subcommands. They read and write
// the streams that are set on it, and obey its context. Errors are returned and
// not printed. Each call returns a new tree, which runs one command.
func New(opts ...Option) *cobra.Command {
	s := &shared{log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(s)
	}
	root := &cobra.Command{
		Use:           "dutflash",
		Short:         "Flash disk images onto embedded boards",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVar(&s.file, "config", "boards.yaml", "board file, or exporter file of Jumpstarter")
	flags.StringVar(&s.board, "board", "", "name of the board; not needed where the file has one")
	flags.BoolVarP(&s.verbose, "verbose", "v", false, "log every step on standard error")
	flags.BoolVar(&s.consoleDebug, "console-debug", false, "show the board's console on standard error")
	if err := root.RegisterFlagCompletionFunc("board", s.completeBoards); err != nil {
		panic(err) // the flag is made above
	}
	for _, cmd := range []*cobra.Command{flashCommand(s), dumpCommand(s), bootloaderShell(s), busyboxShell(s)} {
		root.AddCommand(uses(cmd, "config", "board", "verbose", "console-debug"))
	}
	root.AddCommand(uses(consoleCommand(s), "config", "board"), powerCommand(s), bundleCommand(s), imageCommand(s), boardCommand(s))
	s.wrap(root)
	refuseUnknown(root)
	root.SetHelpCommand(helpCommand())
	root.SetUsageTemplate(withoutItself(root.UsageTemplate()))
	return root
}

// completeBoards offers the names in the board file to the shell.
func (s *shared) completeBoards(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	f, err := config.Load(s.file, s.config...)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return f.Names(), cobra.ShellCompDirectiveNoFileComp
}

// usageError is a wrong command line.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// usesKey is the annotation of a command with the flags that it uses of those of the
// commands above it.
const usesKey = "dutflash-uses"

// uses says which flags of the commands above it a command uses.
func uses(cmd *cobra.Command, flags ...string) *cobra.Command {
	cmd.Annotations = map[string]string{usesKey: strings.Join(flags, " ")}
	return cmd
}

// wrap has each command of the tree refuse texts that are empty, and the flags of the
// commands above it that mean nothing for it, and close at its end what it holds.
func (s *shared) wrap(root *cobra.Command) {
	var walk func(cmd *cobra.Command, above []*pflag.FlagSet)
	walk = func(cmd *cobra.Command, above []*pflag.FlagSet) {
		if run := cmd.RunE; run != nil {
			cmd.RunE = func(c *cobra.Command, a []string) (err error) {
				if s.verbose {
					s.log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
				}
				if err := errorsFirst(refuseUnused(c, above), refuseEmpty(append([]*pflag.FlagSet{c.LocalFlags()}, above...))); err != nil {
					return err
				}
				defer func() {
					for _, h := range slices.Backward(s.held) {
						err = errors.Join(err, h())
					}
				}()
				return run(c, a)
			}
		}
		if len(above) > 0 {
			hideUnused(cmd, above)
		}
		for _, sub := range cmd.Commands() {
			walk(sub, append(slices.Clone(above), cmd.PersistentFlags()))
		}
	}
	walk(root, nil)
}

// refuseUnused is an error for a flag that was given and is none of those that the
// command uses.
func refuseUnused(cmd *cobra.Command, above []*pflag.FlagSet) (err error) {
	used := strings.Fields(cmd.Annotations[usesKey])
	for _, flags := range above {
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Changed && !slices.Contains(used, f.Name) && err == nil {
				err = usageError{fmt.Errorf("--%s means nothing for %s: leave it out (see %[2]s --help)", f.Name, cmd.CommandPath())}
			}
		})
	}
	return err
}

// refuseEmpty is an error for a text that was given and is empty, as that of a variable
// of a script that is not set: a checksum that is not checked, any board in place of
// one.
func refuseEmpty(sets []*pflag.FlagSet) (err error) {
	for _, flags := range sets {
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Changed && f.Value.Type() == "string" && f.Value.String() == "" && err == nil {
				err = usageError{fmt.Errorf("--%s is empty: leave it out, or look whether a variable of a script is not set", f.Name)}
			}
		})
	}
	return err
}

// args makes a check of arguments give usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, a []string) error {
		if err := check(cmd, a); err != nil {
			return usageError{fmt.Errorf("%w (usage: %s)", err, cmd.UseLine())}
		}
		return nil
	}
}

// load reads the board file.
func (s *shared) load() (*config.File, error) {
	opts := slices.Clone(s.config)
	if s.verbose {
		opts = append(opts, config.WithLogger(s.log))
	}
	f, err := config.Load(s.file, opts...)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (name your board file with --config)", err)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}

// one returns the chosen board.
func (s *shared) one() (*config.Board, error) {
	f, err := s.load()
	if err != nil {
		return nil, err
	}
	b, err := f.Board(s.board)
	if errors.Is(err, config.ErrUnknownBoard) {
		err = fmt.Errorf("%w (choose with --board)", err)
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", s.file, err)}
	}
	return b, nil
}

// options are what the flags of every command say to a Flasher.
func (s *shared) options(cmd *cobra.Command) []flasher.Option {
	opts := slices.Clone(s.extra)
	if s.verbose {
		opts = append(opts, flasher.WithLogger(s.log))
	}
	var to []io.Writer
	if s.consoleDebug {
		to = append(to, &debugOutput{cmd.ErrOrStderr(), &s.attached})
	}
	if s.transcript != nil {
		to = append(to, s.transcript)
	}
	if to != nil {
		opts = append(opts, flasher.WithTranscript(io.MultiWriter(to...)))
	}
	return opts
}

// debugOutput shows the console until a person is attached to it.
type debugOutput struct {
	io.Writer
	attached *atomic.Bool
}

func (d *debugOutput) Write(p []byte) (int, error) {
	if d.attached.Load() {
		return len(p), nil
	}
	return d.Writer.Write(p)
}

// flasher returns the Flasher of the chosen board.
func (s *shared) flasher(cmd *cobra.Command, opts ...flasher.Option) (*flasher.Flasher, error) {
	b, err := s.one()
	if err != nil {
		return nil, err
	}
	f, err := b.Flasher(append(s.options(cmd), opts...)...)
	if err != nil {
		if !errors.Is(err, flasher.ErrConfig) {
			err = usageError{err}
		}
		return nil, ofFlag(cmd, err)
	}
	s.held = append(s.held, f.Close)
	return f, nil
}
