package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/power"
)

// Run is what the main function of a program does with a tree: it runs the command
// line of the process, prints an error on standard error behind the tree's name, and
// returns the exit code. Ctrl-C, SIGTERM, and the end of the terminal (SIGHUP) stop a
// command cleanly and leave the board off; a second Ctrl-C ends the process at once,
// with the board as it is then. Programs that stop others signal them and their process
// group, as timeout(1) does: what comes within 50 ms of the first is the same Ctrl-C.
func Run(root *cobra.Command) (exitCode int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		cancel()
		first := time.Now()
		for sig := range signals {
			if sig == os.Interrupt && time.Since(first) > sameSignal {
				break
			}
		}
		fmt.Fprintf(os.Stderr, "%s: interrupted twice: the board may have been left on\n", root.Name())
		os.Exit(exitInterrupted)
	}()
	root.InitDefaultCompletionCmd()
	if completion := subcommand(root, "completion"); completion != nil {
		refuseUnknown(completion)
	}
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", root.Name(), message(err))
	}
	return ExitCode(err)
}

// sameSignal is shorter than a person takes to press Ctrl-C twice.
const sameSignal = 50 * time.Millisecond

// message is what a person reads of an error. Somebody who interrupts a flash knows
// why it ended, and needs no lines of the console; a switch that failed then is told.
// One that fails to switch the board off at the start and again at the end says the
// same twice.
func message(err error) string {
	text := err.Error()
	switched := errors.As(err, new(*power.Error))
	if ExitCode(err) == exitInterrupted && !switchFailed(err) {
		text, _, _ = strings.Cut(text, "\n")
		return "interrupted: " + strings.TrimSuffix(text, "; last console lines:")
	}
	first, rest, _ := strings.Cut(text, "\n")
	const atTheEnd = ": power state: "
	if i := strings.Index(rest, atTheEnd); switched && i >= 0 && !strings.Contains(rest, "\n") && strings.Contains(first, ": power: "+rest[i+len(atTheEnd):]) {
		return first + "; the board may be on"
	}
	return text
}

// switchFailed tells whether err holds a failure of the power switch that is not the
// interruption itself.
func switchFailed(err error) bool {
	switch e := err.(type) {
	case *power.Error:
		return !errors.Is(e, context.Canceled)
	case interface{ Unwrap() error }:
		return switchFailed(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), switchFailed)
	}
	return false
}
