package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dutflash/dutflash/flasher"
)

// progress shows events: on a terminal a line for each step, with a bar for the one
// that moves bytes; plain lines every few seconds elsewhere; or one JSON object per
// event.
type progress struct {
	mu   sync.Mutex
	show func(flasher.Event)
	out  io.Writer
	last map[flasher.Step]time.Time // when a step began or was last told about

	// What is drawn on a terminal.
	color bool
	begun map[flasher.Step]time.Time
	live  flasher.Step // the step that the last line is about, or ""
	bar   *progressbar.ProgressBar
	drawn time.Time // when the bar was drawn last
}

func newProgress(cmd *cobra.Command, s *shared, asJSON bool) *progress {
	p := &progress{out: cmd.ErrOrStderr(), last: map[flasher.Step]time.Time{}, begun: map[flasher.Step]time.Time{}}
	p.show = p.line
	switch {
	case asJSON:
		p.out = cmd.OutOrStdout()
		p.show = p.object
	case s.verbose || s.consoleDebug: // their lines would go through what is drawn
	case canDraw(p.out):
		p.show = p.draw
		p.color = os.Getenv("NO_COLOR") == "" // no-color.org
	}
	return p
}

// canDraw tells whether out is a terminal that understands more than lines.
func canDraw(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// event is a flasher.WithProgress.
func (p *progress) event(ev flasher.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show(ev)
}

// close ends the line that is drawn. It may be called again.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

const lineInterval = 2 * time.Second

// line prints plain lines.
func (p *progress) line(ev flasher.Event) {
	switch {
	case ev.State == flasher.StateStarted:
		p.last[ev.Step] = ev.Time
		fmt.Fprintln(p.out, ev.Step)
	case ev.State == flasher.StateFailed:
		fmt.Fprintf(p.out, "%s: failed\n", ev.Step) // why is in the error at the end, or in the log
	case ev.State == flasher.StateRunning && ev.Total > 0 && ev.Time.Sub(p.last[ev.Step]) >= lineInterval:
		p.last[ev.Step] = ev.Time
		fmt.Fprintf(p.out, "%s: %d %%, %s\n", ev.Step, 100*ev.Done/ev.Total, amounts(ev))
	}
}

// amounts says how far a step is, how fast it goes, and how long it will take, as far
// as that is known.
func amounts(ev flasher.Event) string {
	words := []string{fmt.Sprintf("%.0f of %.0f MB", float64(ev.Done)/1e6, float64(ev.Total)/1e6)}
	if ev.Rate > 0 {
		words = append(words, fmt.Sprintf("%.1f MB/s", ev.Rate/1e6))
	}
	if ev.Remaining > 0 {
		words = append(words, fmt.Sprintf("%v left", ev.Remaining.Round(time.Second)))
	}
	return strings.Join(words, ", ")
}

// draw shows the step that is under way in the last line, and above it a line for each
// that is over. The image is prepared beside other steps, and is not drawn.
func (p *progress) draw(ev flasher.Event) {
	switch ev.State {
	case flasher.StateStarted:
		p.begun[ev.Step] = ev.Time
		if ev.Step != flasher.StepImage {
			p.turnTo(ev.Step)
		}
	case flasher.StateRunning:
		// A step that is over with its first event has nothing to be drawn.
		if ev.Step != p.live || ev.Total <= 0 || p.bar == nil && ev.Done >= ev.Total {
			return
		}
		p.drawBar(ev)
	case flasher.StateDone:
		p.over(ev, "32", "")
	case flasher.StateFailed:
		p.over(ev, "31", "failed ")
	}
}

// turnTo makes a step the one in the last line.
func (p *progress) turnTo(s flasher.Step) {
	p.clear()
	p.live = s
	fmt.Fprintf(p.out, "%s ...", s)
}

func (p *progress) drawBar(ev flasher.Event) {
	if p.bar == nil || p.bar.GetMax64() != ev.Total {
		step := p.live
		p.clear()
		p.live = step
		// The rate and the time left are the flasher's: the bar's own do not know
		// of what was on the disk already.
		p.bar = progressbar.NewOptions64(ev.Total, progressbar.OptionSetWriter(p.out), progressbar.OptionFullWidth(),
			progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionUseANSICodes(true))
		p.drawn = time.Time{}
	}
	if ev.Time.Sub(p.drawn) < barInterval {
		return
	}
	p.drawn = ev.Time
	_ = p.bar.Set64(min(ev.Done, ev.Total)) // a terminal that is gone ends nothing
	p.bar.Describe(fmt.Sprintf("%-10s %s", ev.Step, amounts(ev)))
}

// barInterval is how often the bar is drawn.
const barInterval = 100 * time.Millisecond

// over puts a line for a step that has ended above the last one.
func (p *progress) over(ev flasher.Event, color, how string) {
	live := p.live
	p.clear()
	took := ""
	if begun, ok := p.begun[ev.Step]; ok {
		took = fmt.Sprintf("%.1f s", ev.Time.Sub(begun).Seconds())
	}
	text := strings.TrimSpace(fmt.Sprintf("%-12s %s%s", ev.Step, how, took))
	if p.color {
		text = "\x1b[" + color + "m" + text + "\x1b[0m"
	}
	fmt.Fprintln(p.out, text)
	if live != ev.Step && live != "" {
		p.turnTo(live)
	}
}

// clear takes the last line away.
func (p *progress) clear() {
	if p.live == "" {
		return
	}
	p.live, p.bar = "", nil
	fmt.Fprint(p.out, "\r\x1b[K")
}

// object prints one JSON object.
func (p *progress) object(ev flasher.Event) {
	o := struct {
		Time      time.Time     `json:"time"`
		Step      flasher.Step  `json:"step"`
		State     flasher.State `json:"state"`
		Done      int64         `json:"done,omitempty"`
		Total     int64         `json:"total,omitempty"`
		Wire      int64         `json:"wire,omitempty"`
		Rate      float64       `json:"bytes_per_second,omitempty"`
		Remaining float64       `json:"seconds_left,omitempty"`
		Message   string        `json:"message,omitempty"`
		Error     string        `json:"error,omitempty"`
	}{ev.Time, ev.Step, ev.State, ev.Done, ev.Total, ev.Wire, ev.Rate, ev.Remaining.Seconds(), ev.Message, ""}
	if ev.Err != nil {
		o.Error = ev.Err.Error()
	}
	_ = json.NewEncoder(p.out).Encode(o) // whoever reads it has gone away
}
