// Command labtool is a lab's own tool with dutflash in it: the command tree hangs
// under "labtool board", and board files may name the lab's own power switch.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher/cli"
	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power"
)

// rack is the lab's switch: a program that is called with the outlet and the
// state. It is "power: {type: rack, outlet: 7}" in a board file.
type rack struct {
	Program string `yaml:"program"`
	Outlet  int    `yaml:"outlet"`
}

func newRack(s config.Settings) (power.Controller, error) {
	r := &rack{Program: "rackctl"}
	if err := s.Decode(r); err != nil {
		return nil, err
	}
	if r.Outlet < 1 {
		return nil, errors.New("outlet must be at least 1")
	}
	return r, nil
}

func (r *rack) On(ctx context.Context) error  { return r.set(ctx, "on") }
func (r *rack) Off(ctx context.Context) error { return r.set(ctx, "off") }

func (r *rack) set(ctx context.Context, state string) error {
	if out, err := exec.CommandContext(ctx, r.Program, strconv.Itoa(r.Outlet), state).CombinedOutput(); err != nil {
		return &power.Error{Op: state, Device: fmt.Sprintf("outlet %d", r.Outlet), Err: fmt.Errorf("%w: %s", err, out)}
	}
	return nil
}

func newTool() *cobra.Command {
	tool := &cobra.Command{Use: "labtool", Short: "What our lab needs every day", SilenceUsage: true, SilenceErrors: true}
	board := cli.New(cli.WithConfig(config.WithPower("rack", newRack)))
	board.Use = "board"
	tool.AddCommand(board, &cobra.Command{
		Use: "hello", Short: "A command of the lab's own",
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "hello") },
	})
	return tool
}

func main() { os.Exit(cli.Run(newTool())) }
