package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// fakeBoard answers one line with the reply for it; it stands for a serial
// port.
func fakeBoard(greeting string, replies map[string]string) io.ReadWriteCloser {
	port, board := net.Pipe()
	go func() {
		defer board.Close()
		io.WriteString(board, greeting)
		var line []byte
		b := make([]byte, 1)
		for {
			if _, err := board.Read(b); err != nil {
				return
			}
			if line = append(line, b[0]); b[0] == '\r' {
				io.WriteString(board, replies[strings.TrimSpace(string(line))])
				line = nil
			}
		}
	}()
	return port
}

func Example() {
	port := fakeBoard("U-Boot 2023.01\r\n\r\n=> ", map[string]string{
		"printenv ipaddr": "printenv ipaddr\r\nipaddr=10.0.2.15\r\n=> ",
	})
	c, err := console.New(port)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	if _, err := c.Expect(ctx, expect.String("=> ")); err != nil {
		fmt.Println(err)
		return
	}
	if err := c.SendLine(ctx, "printenv ipaddr"); err != nil {
		fmt.Println(err)
		return
	}
	m, err := c.Expect(ctx,
		expect.Regexp(regexp.MustCompile(`ipaddr=([0-9.]+)\r`)),
		expect.String("not defined"),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Index, m.Groups[1])
	// Output: 0 10.0.2.15
}

// A timeout names what was wanted and shows the last lines of the console. The
// session goes on, and nothing of the output is lost.
func ExampleConsole_Expect_timeout() {
	c, err := console.New(fakeBoard("BOOTP broadcast 1\r\nBOOTP broadcast 2", nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.Expect(ctx, expect.String("broadcast 2")); err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Expect(ctx, expect.String("DHCP client bound"), expect.WithTimeout(10*time.Millisecond))
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	fmt.Println(err)
	// Output:
	// true
	// console: expect "DHCP client bound": context deadline exceeded; last console lines:
	// BOOTP broadcast 1
	// BOOTP broadcast 2
}

func ExampleWithTranscript() {
	port := fakeBoard("login: ", map[string]string{"root": "Password hunter2 is too simple\r\n# "})
	// A Cleaner makes it readable; a file may rather have it as it comes.
	transcript := console.NewCleaner(os.Stdout)
	c, err := console.New(port, console.WithTranscript(transcript), console.WithSecret("hunter2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.SendLine(ctx, "root"); err != nil {
		fmt.Println(err)
	}
	if _, err := c.Expect(ctx, expect.String("# ")); err != nil {
		fmt.Println(err)
	}
	if err := c.Close(); err != nil {
		fmt.Println(err)
	}
	if err := transcript.Flush(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// login: Password *** is too simple
	// #
}

func ExampleConsole_Attach() {
	c, err := console.New(fakeBoard("", map[string]string{"uname": "Linux\r\n# "}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	// With a person these are os.Stdin and os.Stdout.
	keys := strings.NewReader("uname\r\x1d")
	var screen strings.Builder
	if err := c.Attach(context.Background(), keys, &screen); err != nil {
		fmt.Println(err)
	}
	fmt.Println(strings.Contains(screen.String(), "leave with Ctrl-]"))
	// Output: true
}

func ExampleClean() {
	fmt.Println(console.Clean("\x1b[1mLoading\x1b[0m  10%\rLoading 100%\r\nDonn\b \be\r\n"))
	// Output:
	// Loading 100%
	// Done
}

func ExampleCleaner() {
	c := console.NewCleaner(os.Stdout)
	for _, piece := range []string{"\x1b[3", "2mOK\x1b", "[0m: eth0 up\r", "\nleft over"} {
		if _, err := c.Write([]byte(piece)); err != nil {
			fmt.Println(err)
		}
	}
	if err := c.Flush(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// OK: eth0 up
	// left over
}
