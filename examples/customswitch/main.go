// Command customswitch shows a power switch of one's own: two methods make a
// power.Controller, and a third lets it tell whether the board is on.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/dutflash/dutflash/power"
)

// rack is a switch that listens on TCP for lines such as "3 on" and answers "ok"
// or says what is wrong.
type rack struct {
	address string
	outlet  int
}

var (
	_ power.Controller  = (*rack)(nil)
	_ power.StateReader = (*rack)(nil)
)

func (r *rack) On(ctx context.Context) error  { return r.order(ctx, "on") }
func (r *rack) Off(ctx context.Context) error { return r.order(ctx, "off") }

// State asks the switch.
func (r *rack) State(ctx context.Context) (on bool, err error) {
	answer, err := r.ask(ctx, "state")
	return answer == "on", err
}

// order gives an order that must be answered with ok. A *power.Error says what
// failed on which device, as those of dutflash's own drivers do.
func (r *rack) order(ctx context.Context, what string) error {
	answer, err := r.ask(ctx, what)
	if err == nil && answer != "ok" {
		err = fmt.Errorf("the switch says %q", answer)
	}
	if err != nil {
		return &power.Error{Op: what, Device: fmt.Sprintf("outlet %d of %s", r.outlet, r.address), Err: err}
	}
	return nil
}

// ask sends a line and reads one, until ctx ends.
func (r *rack) ask(ctx context.Context, what string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := fmt.Fprintf(conn, "%d %s\n", r.outlet, what); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return strings.TrimSpace(line), err
}

func main() {
	address := flag.String("address", "rack7:9000", "host and port of the switch")
	outlet := flag.Int("outlet", 1, "outlet that the board is plugged into")
	flag.Parse()
	// The board is off for two seconds; flasher.New takes the same value.
	if err := power.Cycle(context.Background(), &rack{*address, *outlet}, power.DefaultCycleWait); err != nil {
		fmt.Fprintln(os.Stderr, "customswitch:", err)
		os.Exit(1)
	}
}
