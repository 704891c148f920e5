// Command dutflash is the ready-made command: the tree of flasher/cli with the
// process's streams. Ctrl-C once stops cleanly and leaves the board off; a second
// one ends the process at once.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dutflash/dutflash/flasher/cli"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// The channel keeps a second signal that comes right behind the first.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "dutflash: interrupted twice: the board may have been left on")
		os.Exit(cli.ExitCode(context.Canceled))
	}()
	if err := cli.New().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "dutflash:", err)
		os.Exit(cli.ExitCode(err))
	}
}
