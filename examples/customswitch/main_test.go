package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/dutflash/dutflash/power"
)

// serve is a switch with one outlet, number 3.
func serve(t *testing.T) (address string, orders func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var got []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			line = strings.TrimSpace(line)
			mu.Lock()
			got = append(got, line)
			mu.Unlock()
			answer := "ok"
			if !strings.HasPrefix(line, "3 ") {
				answer = "no such outlet"
			}
			fmt.Fprintln(c, answer)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

func TestCycle(t *testing.T) {
	address, orders := serve(t)
	if err := power.Cycle(t.Context(), &rack{address, 3}, 1); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(orders(), ", "); got != "3 off, 3 on" {
		t.Errorf("orders %q", got)
	}
}

func TestErrors(t *testing.T) {
	address, _ := serve(t)
	var e *power.Error
	if err := (&rack{address, 4}).On(t.Context()); !errors.As(err, &e) || !strings.Contains(err.Error(), "no such outlet") {
		t.Errorf("got %v, want a *power.Error with the switch's answer", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&rack{address, 3}).On(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
