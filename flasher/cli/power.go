package cli

import (
	"context"
	"fmt"
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
		readCommand(s),
	)
	return cmd
}

func (s *shared) powerAction(use, short string, do func(context.Context, *cobra.Command, power.Controller) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.power()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), powerTimeout+power.DefaultCycleWait)
			defer cancel()
			return do(ctx, cmd, c)
		},
	}
}

// power returns the power switch of the one board that is meant.
func (s *shared) power() (power.Controller, error) {
	b, err := s.one()
	if err != nil {
		return nil, err
	}
	c, err := b.Power()
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}
