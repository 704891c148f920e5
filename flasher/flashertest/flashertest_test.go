package flashertest_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/power"
)

var (
	_ power.Controller = (*flashertest.Cable)(nil)
	_ flasher.Network  = (*flashertest.Loopback)(nil)
)

func TestLoopbackOwnsPort69(t *testing.T) {
	var l flashertest.Loopback
	for range 2 {
		c, err := l.ListenPacket(t.Context(), "udp", ":69")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
}

func ExampleCable() {
	board := &flashertest.Cable{Says: "U-Boot SPL 2024.01\r\n"}
	defer board.Close()
	ctx := context.Background()
	console, err := board.Open(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer console.Close()
	if err := board.On(ctx); err != nil {
		fmt.Println(err)
		return
	}
	text := make([]byte, 18)
	io.ReadFull(console, text)
	fmt.Printf("%s after %v\n", text, board.Did())
	// Output: U-Boot SPL 2024.01 after [open on]
}
