package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power"
)

func powerCommand(s *shared) *cobra.Command {
	cmd := &cobra.Command{Use: "power", Short: "Switch the board's power"}
	var wait time.Duration
	cycle := s.powerAction("cycle", "Switch the board off, wait, and switch it on", func(ctx context.Context, cmd *cobra.Command, b *config.Board, c power.Controller) error {
		pause := b.CycleWait
		if cmd.Flags().Changed("wait") {
			if pause = wait; pause <= 0 {
				return usageError{fmt.Errorf("--wait %v is %s", pause, map[bool]string{true: "negative", false: "no time: the shortest is 1ns"}[pause < 0])}
			}
		}
		ctx, cancel := context.WithTimeout(ctx, 2*b.PowerTimeout+max(pause, power.DefaultCycleWait))
		defer cancel()
		return power.Cycle(ctx, c, pause)
	})
	cycle.Flags().DurationVar(&wait, "wait", 0, "how long the power stays off; the default is the board file's cycle_wait, or 2s")
	cmd.AddCommand(cycle,
		s.powerAction("on", "Switch the board on", func(ctx context.Context, _ *cobra.Command, b *config.Board, c power.Controller) error {
			ctx, cancel := context.WithTimeout(ctx, b.PowerTimeout)
			defer cancel()
			return c.On(ctx)
		}),
		s.powerAction("off", "Switch the board off", func(ctx context.Context, _ *cobra.Command, b *config.Board, c power.Controller) error {
			ctx, cancel := context.WithTimeout(ctx, b.PowerTimeout)
			defer cancel()
			return c.Off(ctx)
		}),
		s.powerAction("rescue", "Switch the board off, and on in its recovery mode, where the switch can do that", rescue),
		readCommand(s),
	)
	return cmd
}

// rescueTime is what a rescue takes beside the switching: a wait, and the hold of the
// boot strap.
const rescueTime = time.Minute

func rescue(ctx context.Context, _ *cobra.Command, b *config.Board, c power.Controller) error {
	r, ok := c.(power.Rescuer)
	if !ok {
		return usageError{fmt.Errorf("power rescue: %w: the switch of board %q has no recovery mode (those of type gpio and command can have one)", power.ErrUnsupported, b.Name)}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*b.PowerTimeout+rescueTime)
	defer cancel()
	err := r.Rescue(ctx)
	if errors.Is(err, power.ErrUnsupported) {
		return usageError{err}
	}
	return err
}

func (s *shared) powerAction(use, short string, do func(context.Context, *cobra.Command, *config.Board, power.Controller) error) *cobra.Command {
	return uses(&cobra.Command{
		Use: use, Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, c, err := s.power()
			if err != nil {
				return err
			}
			return power.Logged(s.log, c, use, func() error { return do(cmd.Context(), cmd, b, c) })
		},
	}, "config", "board", "verbose")
}

// power returns the one board that is meant, and its power switch.
func (s *shared) power() (*config.Board, power.Controller, error) {
	b, err := s.one()
	if err != nil {
		return nil, nil, err
	}
	c, err := b.Power()
	if err != nil {
		return nil, nil, usageError{err}
	}
	s.hold(c)
	return b, c, nil
}

// hold releases a power switch at the end of the command, where that holds something.
func (s *shared) hold(c power.Controller) {
	if r, ok := c.(power.Releaser); ok {
		s.held = append(s.held, r.Release)
	}
}
