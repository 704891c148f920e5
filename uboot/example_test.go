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
	lines := bufio.NewScanner(board)
	lines.Split(func(data []byte, eof bool) (int, []byte, error) {
		if i := strings.IndexByte(string(data), '\r'); i >= 0 {
			return i + 1, data[:i], nil
		}
		return 0, nil, nil
	})
	for lines.Scan() {
		line := strings.Map(func(r rune) rune {
			if r < ' ' {
				return -1 // stop keys and Ctrl-C
			}
			return r
		}, lines.Text())
		line = strings.NewReplacer("'$?'", "0", "'", "", "  ", " ").Replace(line)
		for _, cmd := range strings.Split(line, "; ") {
			if text, ok := strings.CutPrefix(cmd, "echo "); ok {
				fmt.Fprint(board, "\r\n", text, "\r\n")
			} else {
				fmt.Fprint(board, "U-Boot 2024.01\r\n")
			}
		}
		fmt.Fprint(board, "=> ")
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
