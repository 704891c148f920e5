package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	expect "github.com/Netflix/go-expect"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dutflash/dutflash/transport/console"
)

// size is that of a terminal, in characters; the zero value is of something else.
type size struct{ width, height int }

// line tells a shell the size, which a serial line does not.
func (s size) line() string {
	if s == (size{}) {
		return ":"
	}
	return fmt.Sprintf("stty rows %d cols %d 2>/dev/null", s.height, s.width)
}

func terminalSize(out io.Writer) size {
	f, ok := out.(*os.File)
	if !ok {
		return size{}
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 { // no terminal, or one that does not know
		return size{}
	}
	return size{width, height}
}

// sized is a shell that was told the size of the person's terminal.
type sized struct {
	attachable
	size   size
	prompt *regexp.Regexp // nil where it is not known
}

const (
	// sizeTimeout is for a line that is typed at an idle prompt.
	sizeTimeout = 30 * time.Second
	// sizeInterval is how often it is looked whether the terminal has another size.
	sizeInterval = 500 * time.Millisecond
)

// toKnowPrompt is a line whose answer is not in its echo.
const toKnowPrompt, promptKnown = "echo 'prompt'' is known'", "prompt is known"

// passSize tells the board's shell how large the person's terminal is, and waits for
// an answer that no echo of the line has: what the person sees begins behind it. The
// prompt between that and a second line is the shell's.
func passSize(cmd *cobra.Command, c *console.Console) (told size, prompt *regexp.Regexp, err error) {
	ctx, cancel := context.WithTimeout(cmd.Context(), sizeTimeout)
	defer cancel()
	told = terminalSize(cmd.OutOrStdout())
	if err := c.Send(ctx, told.line()+"; echo 'terminal'' is told':\"$PWD\":\n"); err != nil {
		return told, nil, err
	}
	m, err := c.Expect(ctx, expect.Regexp(regexp.MustCompile(`terminal is told:([^\r\n]*):\r*\n`)))
	if err != nil {
		return told, nil, err
	}
	if told == (size{}) {
		return told, nil, nil
	}
	if err := c.Send(ctx, toKnowPrompt+"\n"); err != nil {
		return told, nil, err
	}
	after, err := c.Expect(ctx, expect.Regexp(regexp.MustCompile(promptKnown+`\r*\n`)))
	if err != nil {
		return told, nil, err
	}
	return told, promptOf(promptIn(console.Clean(after.Before)), m.Groups[1]), nil
}

// promptIn finds the prompt in what a terminal shows from the end of a command to the
// answer of toKnowPrompt. The prompt stands before the line's echo; where the line was
// quicker than the prompt, the terminal has echoed it already, and a shell that does
// not echo by itself prints the prompt behind that.
func promptIn(text string) string {
	i := strings.LastIndex(text, toKnowPrompt)
	if i < 0 {
		return text
	}
	before := text[strings.LastIndexAny(text[:i], "\r\n")+1 : i]
	if before != "" {
		return before
	}
	return strings.TrimLeft(text[i+len(toKnowPrompt):], "\r\n")
}

// promptOf is how the prompts look of a shell that has this one in a directory: what
// shows the directory is another one later. It is nil where text is no prompt.
func promptOf(text, dir string) *regexp.Regexp {
	if strings.TrimSpace(text) == "" || strings.ContainsAny(text, "\r\n") {
		return nil
	}
	for _, shown := range []string{dir, "~"} {
		if before, after, ok := strings.Cut(text, shown); ok && shown != "" {
			return regexp.MustCompile("^" + console.QuoteMeta(before) + `[/~]\S*` + console.QuoteMeta(after) + "$")
		}
	}
	return regexp.MustCompile("^" + console.QuoteMeta(text) + "$")
}

// followSize returns the lines that tell a shell about changes of the terminal's size.
// stop ends it.
func followSize(ctx context.Context, out io.Writer, last size) (lines <-chan string, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan string)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(sizeInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			now := terminalSize(out)
			if now == last || now == (size{}) {
				continue
			}
			select {
			case told <- now.line():
				last = now
			case <-ctx.Done():
				return
			}
		}
	})
	return told, func() { cancel(); wg.Wait() }
}
