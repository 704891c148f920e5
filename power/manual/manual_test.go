package manual_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/manual"
)

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		in string
		is error
	}{
		{"\n", nil},
		{"\r", nil},
		{"  Yes \n", nil},
		{"done\n", nil},
		{"the plug is stuck\n", power.ErrRefused},
		{"n\n", power.ErrRefused},
		{"", io.ErrUnexpectedEOF},
		{"yes", io.ErrUnexpectedEOF},
		{strings.Repeat("x", 1<<20) + "\n", power.ErrRefused},
	} {
		t.Run(fmt.Sprintf("%.20q", tc.in), func(t *testing.T) {
			var out bytes.Buffer
			c, err := manual.New("board 3", strings.NewReader(tc.in), &out)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Off(t.Context())
			var typed *power.Error
			if !errors.Is(err, tc.is) || err != nil && !errors.As(err, &typed) {
				t.Errorf("got %v, want %v", err, tc.is)
			}
			if err != nil && len(err.Error()) > 1200 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if !strings.HasPrefix(out.String(), "Switch board 3 off, then press Enter") {
				t.Errorf("asked %q", out.String())
			}
		})
	}
}

// TestTerminal is a person at a real terminal.
func TestTerminal(t *testing.T) {
	console, err := expect.NewConsole()
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	c, err := manual.New("board 3", console.Tty(), console.Tty())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.On(t.Context()) }()
	if _, err := console.ExpectString("Switch board 3 on, then press Enter"); err != nil {
		t.Fatal(err)
	}
	if _, err := console.SendLine(""); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAnswerToAnAbandonedQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		defer w.Close()
		c, err := manual.New("board", r, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Off(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
		io.WriteString(w, "\n") // too late
		synctest.Wait()
		go func() { done <- c.On(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("a late answer counted for the next question: %v", err)
		default:
		}
		io.WriteString(w, "ok\n")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for _, f := range []func() error{
		func() error { _, err := manual.New("", os.Stdin, os.Stdout); return err },
		func() error { _, err := manual.New("b", nil, os.Stdout); return err },
		func() error { _, err := manual.New("b", os.Stdin, os.Stdout, manual.WithPrompt(nil)); return err },
	} {
		if f() == nil {
			t.Error("New took nonsense")
		}
	}
}

func ExampleNew() {
	board, err := manual.New("board 3", strings.NewReader("\n"), os.Stdout)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = board.On(context.Background())
	fmt.Println(err)
	// Output:
	// Switch board 3 on, then press Enter (or type what keeps you from it): <nil>
}
