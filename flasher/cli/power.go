package cli

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/power"
)

// powerTimeout is how long a power switch may take for one command.
const powerTimeout = 30 * time.Second

func powerCommand(s *shared) *cobra.Command {
	cmd := &cobra.Command{Use: "power", Short: "Switch the board's power"}
	var wait time.Duration
	cycle := s.powerAction("cycle", "Switch the board off, wait, and switch it on", func(ctx context.Context, _ *cobra.Command, c power.Controller) error {
		if wait < 0 {
			return usageError{fmt.Errorf("--wait %v is negative", wait)}
		}
		return power.Cycle(ctx, c, wait)
	})
	cycle.Flags().DurationVar(&wait, "wait", power.DefaultCycleWait, "how long the power stays off")
	cmd.AddCommand(cycle,
		s.powerAction("on", "Switch the board on", func(ctx context.Context, _ *cobra.Command, c power.Controller) error { return c.On(ctx) }),
		s.powerAction("off", "Switch the board off", func(ctx context.Context, _ *cobra.Command, c power.Controller) error { return c.Off(ctx) }),
		s.powerAction("read", "Print whether the board is on, and what it draws, as far as the switch can tell", readPower),
	)
	return cmd
}

func (s *shared) powerAction(use, short string, do func(context.Context, *cobra.Command, power.Controller) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := s.one()
			if err != nil {
				return err
			}
			c, err := b.Power()
			if err != nil {
				return usageError{err}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), powerTimeout+power.DefaultCycleWait)
			defer cancel()
			return do(ctx, cmd, c)
		},
	}
}

func readPower(ctx context.Context, cmd *cobra.Command, c power.Controller) error {
	state, tells := c.(power.StateReader)
	meter, measures := c.(power.Meter)
	if !tells && !measures {
		return fmt.Errorf("this power switch can tell neither its state nor what the board draws")
	}
	if tells {
		on, err := state.State(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), map[bool]string{true: "on", false: "off"}[on])
	}
	if !measures {
		return nil
	}
	r, err := meter.Read(ctx)
	if err != nil {
		return err
	}
	for _, v := range []struct {
		value float64
		unit  string
	}{{r.Volts, "V"}, {r.Amperes, "A"}, {r.Watts, "W"}} {
		if !math.IsNaN(v.value) {
			fmt.Fprintf(cmd.OutOrStdout(), "%.3f %s\n", v.value, v.unit)
		}
	}
	return nil
}
