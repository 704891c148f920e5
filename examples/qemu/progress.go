package main

import (
	"fmt"
	"io"
	"time"

	"github.com/dutflash/dutflash/flasher"
)

// progress prints the events of a flash as plain lines, one a second at most.
type progress struct {
	out  io.Writer
	last time.Time
}

func (p *progress) event(ev flasher.Event) {
	switch {
	case ev.State == flasher.StateStarted:
		p.last = ev.Time
		fmt.Fprintf(p.out, "    %s\n", ev.Step)
	case ev.State == flasher.StateRunning && ev.Total > 0 && ev.Time.Sub(p.last) >= time.Second:
		p.last = ev.Time
		speed := ""
		if ev.Rate > 0 {
			speed = fmt.Sprintf(", %.1f MB/s, %v left", ev.Rate/1e6, ev.Remaining.Round(time.Second))
		}
		fmt.Fprintf(p.out, "    %s: %3d %%  %.0f of %.0f MB%s  %s\n", ev.Step,
			100*ev.Done/ev.Total, float64(ev.Done)/1e6, float64(ev.Total)/1e6, speed, ev.Message)
	}
}

// report prints where the time went.
func report(w io.Writer, res *flasher.Result) {
	for _, s := range res.Steps {
		fmt.Fprintf(w, "%12s %6.1f s\n", s.Step, s.Elapsed.Seconds())
	}
	if peak := peakMemory(); peak > 0 {
		fmt.Fprintf(w, "peak memory of this process: %d MB\n", peak/1e6)
	}
}
