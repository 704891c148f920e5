// Command flash flashes one board from a program of one's own: a console, a power
// switch, a bundle, and a few lines.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/command"
	"github.com/dutflash/dutflash/transport/serial"
)

func main() {
	console := flag.String("console", "/dev/ttyUSB0?baud=115200", "serial console, as transport/serial opens it")
	on := flag.String("on", "", "command that switches the board on")
	off := flag.String("off", "", "command that switches it off")
	bundle := flag.String("bundle", "", "flasher bundle")
	target := flag.String("target", "", "target of the bundle's manifest")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	sw, err := command.New(command.Commands{On: *on, Off: *off})
	if err == nil {
		open := func(ctx context.Context) (io.ReadWriteCloser, error) { return serial.Open(ctx, *console) }
		err = flash(ctx, os.Stdout, open, sw, *bundle, flag.Arg(0), *target, flasher.WithLogger(slog.Default()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flash:", err)
		os.Exit(1)
	}
}

// flash is all that it takes.
func flash(ctx context.Context, out io.Writer, open flasher.OpenConsole, sw power.Controller, bundle, image, target string, opts ...flasher.Option) error {
	f, err := flasher.New(open, sw, bundle, opts...)
	if err != nil {
		return err
	}
	result, err := f.Flash(ctx, image, flasher.WithTarget(target))
	if err != nil {
		return err // names the step, the command, the last console lines, and what to do next
	}
	fmt.Fprintf(out, "%s holds the image, sha256 %s; %d of %d bytes were sent\n",
		result.Device, result.SHA256, result.TransferredBytes, result.ImageBytes)
	return nil
}
