package virtboard_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/dutflash/dutflash/internal/virtboard"
)

// A board is switched on and says what it is.
func Example() {
	board, err := virtboard.New(virtboard.Config{Arch: virtboard.ARM64, Disk: "disk.img"})
	if err != nil {
		log.Fatal(err) // says which package to install
	}
	defer board.Close()
	console := bufio.NewScanner(board.Console())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := board.On(ctx); err != nil {
		log.Fatal(err)
	}
	for console.Scan() {
		fmt.Println(console.Text()) // U-Boot 2023.01 ...
		if strings.HasPrefix(console.Text(), "U-Boot ") {
			return
		}
	}
}
