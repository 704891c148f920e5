// Command ubootonly talks to U-Boot and to nothing else: it stops autoboot on a
// board that somebody has just switched on, and prints a few things about it. It
// imports no flasher and no bundle, only uboot, transport/console and
// transport/serial.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/serial"
	"github.com/dutflash/dutflash/uboot"
)

func main() {
	where := flag.String("console", "/dev/ttyUSB0?baud=115200", "serial console, as transport/serial opens it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	port, err := serial.Open(ctx, *where)
	if err == nil {
		fmt.Println("Switch the board on now.")
		err = look(ctx, port, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ubootonly:", err)
		os.Exit(1)
	}
}

// look stops autoboot and asks U-Boot about itself. It closes the port.
func look(ctx context.Context, port io.ReadWriteCloser, out io.Writer) (err error) {
	con, err := console.New(port)
	if err != nil {
		return errors.Join(err, port.Close())
	}
	defer func() { err = errors.Join(err, con.Close()) }()
	s, err := uboot.New(con)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.Interrupt(ctx); err != nil {
		return err
	}
	version, err := s.Run(ctx, "version")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, version)
	for _, name := range []string{"ethaddr", "bootcmd", "nosuch"} {
		value, err := s.Env(ctx, name)
		switch {
		case errors.Is(err, uboot.ErrNotDefined):
			value = "(not defined)"
		case err != nil:
			return err
		}
		fmt.Fprintf(out, "%s = %s\n", name, value)
	}
	return nil
}
