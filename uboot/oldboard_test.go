package uboot_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/console"
)

// oldBoard stands in for what Debian's builds have not: a U-Boot without hush, a
// keyed autoboot, passwords, menus, and failures that QEMU does not have. Its
// command line behaves as that of U-Boot's common/cli_simple.c and
// common/cli_readline.c. It is for synctest bubbles.
type oldBoard struct {
	prompt   string
	autoboot func(b *oldBoard) (stopped bool)
	before   string // what is printed before autoboot; "" is a banner
	stamps   bool   // timestamps before lines
	mute     bool   // the serial cable is plugged in when the board is at its prompt
	lineSize int    // CONFIG_SYS_CBSIZE
	maxArgs  int    // CONFIG_SYS_MAXARGS
	modern   bool   // with CONFIG_HUSH_MODERN_PARSER: words and quotes as in a POSIX shell
	noEcho   bool
	commands map[string]func(b *oldBoard, args []string)
	env      map[string]string
	line     func(io.ReadWriteCloser) io.ReadWriteCloser // the serial line; nil is a good one
	ran      []string                                    // every command, as it was called

	con    *console.Console
	conn   net.Conn
	keys   chan byte
	midway bool // in a line, not at its beginning
	ctrlC  bool // a command was stopped, and with it the rest of the line
	seen   strings.Builder
}

// on switches the board on and returns its console.
func (b *oldBoard) on(t *testing.T, opts ...console.Option) *console.Console {
	t.Helper()
	b.prompt = orElse(b.prompt, "=> ")
	b.before = orElse(b.before, "\n\nU-Boot 2009.08 (Jan 01 2010 - 12:00:00)\n\nDRAM:  64 MB\nNet:   FEC ETHERNET\n")
	b.lineSize, b.maxArgs = orElse(b.lineSize, 256), orElse(b.maxArgs, 16)
	if b.autoboot == nil {
		b.autoboot = anyKey
	}
	if b.env == nil {
		b.env = map[string]string{"baudrate": "115200"}
	}
	host, board := net.Pipe()
	b.conn, b.keys = board, make(chan byte, 1<<16)
	var loops sync.WaitGroup
	loops.Go(b.receive)
	loops.Go(b.run)
	var serial io.ReadWriteCloser = host
	if b.line != nil {
		serial = b.line(host)
	}
	c, err := console.New(serial, append(opts, console.WithTranscript(&b.seen))...)
	if err != nil {
		t.Fatal(err)
	}
	b.con = c
	t.Cleanup(func() {
		c.Close()
		board.Close()
		loops.Wait()
		if t.Failed() {
			t.Logf("console:\n%s", b.seen.String())
		}
	})
	return c
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// receive is the UART.
func (b *oldBoard) receive() {
	defer close(b.keys)
	p := make([]byte, 256)
	for {
		n, err := b.conn.Read(p)
		for _, key := range p[:n] {
			b.keys <- key
		}
		if err != nil {
			return
		}
	}
}

// key waits for a key; ok is false when there was none for d.
func (b *oldBoard) key(d time.Duration) (key byte, ok bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case key, open := <-b.keys:
		if !open {
			runtime.Goexit()
		}
		return key, true
	case <-timer.C:
		return 0, false
	}
}

const forever = 1000 * time.Hour

// print prints; line ends become those of a serial console.
func (b *oldBoard) print(format string, args ...any) {
	if b.mute {
		return
	}
	var out strings.Builder
	for _, c := range []byte(fmt.Sprintf(format, args...)) {
		if b.stamps && !b.midway && c != '\n' {
			out.WriteString("[    1.234567] ")
		}
		b.midway = c != '\n'
		if c == '\n' {
			out.WriteByte('\r')
		}
		out.WriteByte(c)
	}
	if _, err := io.WriteString(b.conn, out.String()); err != nil {
		runtime.Goexit()
	}
}

// run is the board from power on.
func (b *oldBoard) run() {
	b.print("%s", b.before)
	if !b.autoboot(b) {
		b.print("## Booting kernel from Legacy Image at 20800000 ...\n\nStarting kernel ...\n\n")
		b.key(forever)
		return
	}
	last := ""
	for {
		b.print("%s", b.prompt)
		line, ok := b.readLine()
		for ok && b.modern && !whole(line) {
			b.print("> ")
			var more string
			more, ok = b.readLine()
			line += " " + more
		}
		switch {
		case !ok:
			b.print("<INTERRUPT>\n")
			continue
		case line != "":
			last = line
		}
		if last == "" || !b.runCommand(last) {
			last = ""
		}
	}
}

// readLine is the line editor; ok is false after Ctrl-C.
func (b *oldBoard) readLine() (line string, ok bool) {
	var buf []byte
	at := 0 // where the cursor is; keys at another place than the end are not for this board
	b.mute = false
	for {
		switch key, _ := b.key(forever); {
		case key == '\r' || key == '\n':
			b.print("\n")
			return string(buf), true
		case key == 0x03:
			return "", false
		case key == 0x01 && b.modern: // to the beginning
			b.print("%s", strings.Repeat("\b", at))
			at = 0
		case key == 0x05 && b.modern: // to the end
			b.print("%s", buf[at:])
			at = len(buf)
		case key == 0x1b:
			b.key(forever) // it is taken for the beginning of a sequence
		case key == 0x08 || key == 0x7f:
			if len(buf) > 0 {
				buf, at = buf[:len(buf)-1], len(buf)-1
				b.print("\b \b")
			}
		case key < ' ' || len(buf) >= b.lineSize-1:
			b.print("\a")
		default:
			buf, at = append(buf, key), at+1
			if !b.noEcho {
				b.print("%s", []byte{key})
			}
		}
	}
}

// runCommand runs a line as cli_simple_run_command does, and says whether it may
// be repeated.
func (b *oldBoard) runCommand(line string) bool {
	if b.modern {
		if !strings.HasPrefix(line, "if ") && strings.Contains(line, "; then ") {
			b.print("syntax error\n")
			return false
		}
		again := true
		for _, args := range b.modernWords(plainList(line)) {
			again = b.call(args) && again
		}
		return again
	}
	if len(line) >= b.lineSize {
		b.print("## Command too long!\n")
		return false
	}
	good := true
	for line != "" {
		end, quoted := 0, false
		for ; end < len(line); end++ {
			escaped := end > 0 && line[end-1] == '\\'
			if line[end] == '\'' && !escaped {
				quoted = !quoted
			}
			if line[end] == ';' && !quoted && end > 0 && !escaped {
				break
			}
		}
		one := line[:end]
		line = line[min(end+1, len(line)):]
		args := strings.FieldsFunc(b.expand(one), func(r rune) bool { return r == ' ' || r == '\t' })
		if len(args) == 0 {
			good = false
			continue
		}
		if len(args) > b.maxArgs {
			b.print("** Too many args (max. %d) **\n", b.maxArgs)
			args = args[:b.maxArgs]
		}
		good = b.call(args) && good
		if b.ctrlC {
			b.ctrlC = false
			return false
		}
	}
	return good
}

// expand takes quotes and backslashes off and puts variables in, as the macros of
// cli_simple.c do.
func (b *oldBoard) expand(in string) string {
	const (
		plain = iota
		dollar
		name
		quoted
	)
	var out, variable []byte
	state, prev := plain, byte(0)
	for i := 0; i < len(in); i++ {
		c := in[i]
		if state != quoted && c == '\\' && prev != '\\' {
			if i++; i == len(in) {
				break
			}
			prev, c = c, in[i]
		}
		switch state {
		case plain:
			switch {
			case c == '\'' && prev != '\\':
				state = quoted
			case c == '$' && prev != '\\':
				state = dollar
			default:
				out = append(out, c)
			}
		case dollar:
			if c == '(' || c == '{' {
				state, variable = name, nil
			} else {
				state, out = plain, append(out, '$', c)
			}
		case name:
			if c == ')' || c == '}' {
				out = append(out, b.env[string(variable)]...)
				state = plain
			} else {
				variable = append(variable, c)
			}
		case quoted:
			if c == '\'' && prev != '\\' {
				state = plain
			} else {
				out = append(out, c)
			}
		}
		prev = c
	}
	return string(out[:min(len(out), b.lineSize-1)])
}

// call runs one command.
func (b *oldBoard) call(args []string) bool {
	b.ran = append(b.ran, strings.Join(args, " "))
	if f := b.commands[args[0]]; f != nil {
		f(b, args)
		return true
	}
	switch args[0] {
	case "echo":
		text := strings.Join(args[1:], " ")
		shown := strings.ReplaceAll(text, `\c`, "")
		b.print("%s", shown)
		if shown == text {
			b.print("\n")
		}
	case "version":
		b.print("\nU-Boot 2009.08 (Jan 01 2010 - 12:00:00)\n")
	case "setenv":
		switch len(args) {
		case 1:
			b.print("Usage:\nsetenv name value ...\n")
		case 2:
			delete(b.env, args[1])
		default:
			b.env[args[1]] = strings.Join(args[2:], " ")
		}
		return false
	case "printenv":
		if len(args) == 1 {
			for _, name := range slices.Sorted(maps.Keys(b.env)) {
				b.print("%s=%s\n", name, b.env[name])
			}
			b.print("\nEnvironment size: 100/16380 bytes\n")
			break
		}
		for _, name := range args[1:] {
			if value, ok := b.env[name]; ok {
				b.print("%s=%s\n", name, value)
			} else {
				b.print("## Error: \"%s\" not defined\n", name)
			}
		}
	case "run":
		return b.runCommand(b.env[args[1]])
	case "sleep":
		seconds, _ := strconv.Atoi(args[1])
		b.waits(time.Duration(seconds) * time.Second)
	default:
		b.print("Unknown command '%s' - try 'help'\n", args[0])
		return false
	}
	return true
}

// waits is a command that takes a time and can be stopped with Ctrl-C.
func (b *oldBoard) waits(d time.Duration) (stopped bool) {
	for began := time.Now(); ; {
		key, ok := b.key(d - time.Since(began))
		if !ok {
			return false
		}
		if key == 0x03 {
			b.ctrlC = true
			return true
		}
	}
}
