package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/power"
)

// readFlags are the flags of power read.
type readFlags struct {
	interval time.Duration
	count    int
	json     bool
}

func readCommand(s *shared) *cobra.Command {
	f := &readFlags{}
	cmd := &cobra.Command{
		Use:   "read",
		Short: "Print whether the board is on, and what it draws, as far as the switch can tell",
		Long: `Print whether the board is on, and what it draws, as far as the switch can tell. With
--interval it goes on until Ctrl-C or --count, with one line for each reading.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.interval, "interval", 0, "time from one reading to the next, such as 1s")
	flags.IntVar(&f.count, "count", 0, "how many readings; with --interval the default is no limit")
	flags.BoolVar(&f.json, "json", false, "print one JSON object per reading: time, on, volts, amperes, watts")
	return uses(cmd, "config", "board", "verbose")
}

func (f *readFlags) run(cmd *cobra.Command, s *shared) error {
	switch {
	case f.interval < 0 || cmd.Flags().Changed("interval") && f.interval == 0:
		return usageError{fmt.Errorf("--interval %v is not positive", f.interval)}
	case f.count < 0:
		return usageError{fmt.Errorf("--count %d is negative", f.count)}
	case f.count > 1 && f.interval == 0:
		return usageError{errors.New("--count needs an --interval")}
	}
	b, c, err := s.power()
	if err != nil {
		return err
	}
	_, tells := c.(power.StateReader)
	_, measures := c.(power.Meter)
	if !tells && !measures {
		return usageError{errNoReading}
	}
	print := printLine
	switch {
	case f.json:
		print = printJSON
	case f.interval == 0:
		print = printReading
	}
	for n := 1; ; n++ {
		begun := time.Now()
		var r reading
		err := power.Logged(s.log, c, "read", func() (err error) {
			r, err = readPower(cmd.Context(), c, b.PowerTimeout)
			return err
		})
		if err == nil {
			err = print(cmd.OutOrStdout(), r)
		}
		if err != nil || f.interval == 0 || n == f.count {
			return err
		}
		timer := time.NewTimer(f.interval - time.Since(begun))
		select {
		case <-timer.C:
		case <-cmd.Context().Done():
			timer.Stop()
			return context.Cause(cmd.Context())
		}
	}
}

// errNoReading is about a switch that takes commands and says nothing.
var errNoReading = fmt.Errorf("power read: %w: this power switch can tell neither its state nor what the board draws (one of type command or http can, with state)", power.ErrUnsupported)

// reading is what a switch tells; what it does not know is nil.
type reading struct {
	Time    time.Time `json:"time"`
	On      *bool     `json:"on,omitempty"`
	Volts   *float64  `json:"volts,omitempty"`
	Amperes *float64  `json:"amperes,omitempty"`
	Watts   *float64  `json:"watts,omitempty"`
}

// readPower asks for both; a device may turn out to know only one, or none.
func readPower(ctx context.Context, c power.Controller, limit time.Duration) (r reading, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.Time = time.Now()
	state, tells := c.(power.StateReader)
	if tells {
		on, err := state.State(ctx)
		if tells = !errors.Is(err, power.ErrUnsupported); tells && err != nil {
			return r, err
		}
		if tells {
			r.On = &on
		}
	}
	meter, measures := c.(power.Meter)
	var m power.Reading
	if measures {
		m, err = meter.Read(ctx)
		if measures = !errors.Is(err, power.ErrUnsupported); measures && err != nil {
			return r, err
		}
	}
	if !tells && !measures {
		return r, usageError{errNoReading}
	}
	if !measures {
		return r, nil
	}
	for _, v := range []struct {
		value float64
		into  **float64
	}{{m.Volts, &r.Volts}, {m.Amperes, &r.Amperes}, {m.Watts, &r.Watts}} {
		if !math.IsNaN(v.value) {
			*v.into = &v.value
		}
	}
	return r, nil
}

// words are what is known, each as a person would say it.
func (r reading) words() (words []string) {
	if r.On != nil {
		words = append(words, map[bool]string{true: "on", false: "off"}[*r.On])
	}
	for _, v := range []struct {
		value *float64
		unit  string
	}{{r.Volts, "V"}, {r.Amperes, "A"}, {r.Watts, "W"}} {
		if v.value != nil {
			words = append(words, fmt.Sprintf("%.3f %s", *v.value, v.unit))
		}
	}
	return words
}

// printReading prints a reading that is the only one.
func printReading(w io.Writer, r reading) error {
	_, err := fmt.Fprintln(w, strings.Join(r.words(), "\n"))
	return err
}

// printLine prints one of several.
func printLine(w io.Writer, r reading) error {
	_, err := fmt.Fprintln(w, r.Time.Format(time.RFC3339), strings.Join(r.words(), " "))
	return err
}

func printJSON(w io.Writer, r reading) error { return json.NewEncoder(w).Encode(r) }
