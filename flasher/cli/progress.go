package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dutflash/dutflash/flasher"
)

// progress shows events: as a bar per step on a terminal, as plain lines every few
// seconds elsewhere, or as one JSON object per event.
type progress struct {
	mu   sync.Mutex
	show func(flasher.Event)
	bar  *progressbar.ProgressBar
	step flasher.Step // that the bar is about
	out  io.Writer
	last map[flasher.Step]time.Time
}

func newProgress(cmd *cobra.Command, asJSON bool) *progress {
	p := &progress{out: cmd.ErrOrStderr(), last: map[flasher.Step]time.Time{}}
	p.show = p.line
	if asJSON {
		p.out = cmd.OutOrStdout()
		p.show = p.object
	} else if f, ok := p.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.show = p.draw
	}
	return p
}

// event is a flasher.WithProgress.
func (p *progress) event(ev flasher.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show(ev)
}

// close ends the bar that is drawn. It may be called again.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endBar()
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
		fmt.Fprintf(p.out, "%s: %d %% of %.0f MB, %.1f MB/s, %v left\n", ev.Step, 100*ev.Done/ev.Total,
			float64(ev.Total)/1e6, ev.Rate/1e6, ev.Remaining.Round(time.Second))
	}
}

// draw shows a bar for the step that moves bytes, and a line for each that is
// over. The image is prepared beside other steps; its bar would get in their way.
func (p *progress) draw(ev flasher.Event) {
	switch ev.State {
	case flasher.StateRunning:
		if ev.Total <= 0 || ev.Step == flasher.StepImage {
			return
		}
		if p.bar == nil || p.step != ev.Step || p.bar.GetMax64() != ev.Total {
			p.endBar()
			p.step = ev.Step
			p.bar = progressbar.NewOptions64(ev.Total, progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(fmt.Sprintf("%-10s", ev.Step)),
				progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionUseANSICodes(true))
		}
		_ = p.bar.Set64(min(ev.Done, ev.Total)) // a terminal that is gone ends nothing
	case flasher.StateDone:
		p.endBar()
		fmt.Fprintf(p.out, "\x1b[32m%s\x1b[0m\n", ev.Step)
	case flasher.StateFailed:
		p.endBar()
		fmt.Fprintf(p.out, "\x1b[31m%s failed\x1b[0m\n", ev.Step)
	}
}

func (p *progress) endBar() {
	if p.bar != nil {
		_ = p.bar.Exit() // see draw
		fmt.Fprintln(p.out)
		p.bar = nil
	}
}

// object prints one JSON object.
func (p *progress) object(ev flasher.Event) {
	o := struct {
		Time      time.Time     `json:"time"`
		Step      flasher.Step  `json:"step"`
		State     flasher.State `json:"state"`
		Done      int64         `json:"done,omitempty"`
		Total     int64         `json:"total,omitempty"`
		Rate      float64       `json:"bytes_per_second,omitempty"`
		Remaining float64       `json:"seconds_left,omitempty"`
		Message   string        `json:"message,omitempty"`
		Error     string        `json:"error,omitempty"`
	}{ev.Time, ev.Step, ev.State, ev.Done, ev.Total, ev.Rate, ev.Remaining.Seconds(), ev.Message, ""}
	if ev.Err != nil {
		o.Error = ev.Err.Error()
	}
	_ = json.NewEncoder(p.out).Encode(o) // whoever reads it has gone away
}
