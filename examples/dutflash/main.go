// Command dutflash is the ready-made command: the tree of flasher/cli with the
// process's streams. Ctrl-C once stops cleanly and leaves the board off; a second
// one ends the process at once.
package main

import (
	"os"

	"github.com/dutflash/dutflash/flasher/cli"
)

func main() { os.Exit(cli.Run(cli.New())) }
