package uboot_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// pretend answers as U-Boot's hush does to the few lines of the example. Tests
// use real U-Boot.
func pretend(board io.ReadWriter) {
	fmt.Fprint(board, "\r\nHit any key to stop autoboot:  2\r\n=> ")
	keys := bufio.NewReader(board)
	for line := ""; ; {
		key, err := keys.ReadByte()
		switch {
		case err != nil:
			return
		case key == 0x03:
			line = ""
			fmt.Fprint(board, "<INTERRUPT>\r\n=> ")
		case key == '\r':
			fmt.Fprint(board, "\r\n")
			line = strings.NewReplacer("'$?'", "0", "'", "", "then ", "", "if ", "").Replace(line)
			for _, cmd := range strings.Split(line, "; ") {
				if text, ok := strings.CutPrefix(cmd, "echo "); ok {
					fmt.Fprint(board, text, "\r\n")
				} else if cmd == "version" {
					fmt.Fprint(board, "U-Boot 2024.01\r\n")
				}
			}
			line = ""
			fmt.Fprint(board, "=> ")
		case key >= ' ':
			line += string(rune(key))
			fmt.Fprintf(board, "%c", key)
		}
	}
}

func ExampleSession_Run() {
	host, board := net.Pipe()
	go pretend(board)
	con, err := console.New(host)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer con.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	s, err := uboot.New(con)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Interrupt(ctx); err != nil { // power was switched on just now
		fmt.Println(err)
		return
	}
	out, err := s.Run(ctx, "version")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.TrimSpace(out))
	// Output: U-Boot 2024.01
}
