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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the default handling is back.
	context.AfterFunc(ctx, stop)
	if err := cli.New().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "dutflash:", err)
		os.Exit(cli.ExitCode(err))
	}
}
