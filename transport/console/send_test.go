package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

func TestSendObeysFlowControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Send(ctx, "first"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "0 of 5 bytes") {
			t.Fatalf("got %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Send(ctx, "second"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		// The port takes bytes again: the session goes on.
		got := make(chan string, 1)
		go func() {
			b := make([]byte, len("firstthird"))
			n, _ := io.ReadFull(board, b)
			got <- string(b[:n])
		}()
		if err := c.Send(t.Context(), "third"); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "firstthird" {
			t.Errorf("board got %q", s)
		}
	})
}

func TestPace(t *testing.T) {
	for _, tc := range []struct {
		name string
		pace console.Pace
		want string
	}{
		{"none", console.Pace{}, "0s:ab\r\ncdefg"},
		{"chunks", console.Pace{ChunkSize: 4, ChunkDelay: time.Second}, "0s:ab\r\n 1s:cdef 2s:g"},
		{"characters", console.Pace{ChunkDelay: time.Second}, "0s:a 1s:b 2s:\r 3s:\n 4s:c 5s:d 6s:e 7s:f 8s:g"},
		{"lines", console.Pace{LineDelay: time.Minute}, "0s:ab\r\n 1m0s:cdefg"},
		{"both", console.Pace{ChunkSize: 3, ChunkDelay: time.Second, LineDelay: time.Minute}, "0s:ab\r\n 1m0s:cde 1m1s:fg"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, board := open(t, console.WithPace(tc.pace))
				began := time.Now()
				var got []string
				done := make(chan struct{})
				go func() {
					defer close(done)
					b := make([]byte, 64)
					for total := 0; total < 9; {
						n, err := board.Read(b)
						if err != nil {
							t.Error(err)
							return
						}
						total += n
						got = append(got, fmt.Sprintf("%v:%s", time.Since(began), b[:n]))
					}
				}()
				if err := c.Send(t.Context(), "ab\r\ncdefg"); err != nil {
					t.Fatal(err)
				}
				<-done
				if s := strings.Join(got, " "); s != tc.want {
					t.Errorf("got %q, want %q", s, tc.want)
				}
			})
		})
	}
}

func TestSecretsAreHiddenEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var transcript, logs screen
		logger := slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c, board := open(t, console.WithTranscript(&transcript), console.WithSecret("correct horse"), console.WithLogger(logger))
		c.AddSecret("line one\nline two\n")
		go io.Copy(io.Discard, board)
		for _, s := range []string{"a corr", "ect ho", "rse b cor", "n line o", "ne\r\nline", " two\r\nanother"} {
			say(t, board, s)
		}
		synctest.Wait()
		if want := "a *** b corn ***\r\n***\r\nanother"; transcript.String() != want {
			t.Errorf("transcript %q, want %q", transcript.String(), want)
		}
		if want := "a *** b corn ***\n***\nanother"; c.Tail(10) != want {
			t.Errorf("tail %q, want %q", c.Tail(10), want)
		}
		c.AddSecret("another") // what was said already, too
		if err := c.SendLine(t.Context(), "login correct horse"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Expect(ctx, expect.String("is correct horse"))
		if err == nil || strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), "another") {
			t.Errorf("got %v", err)
		}
		if s := logs.String(); strings.Contains(s, "horse") || !strings.Contains(s, "login ***") {
			t.Errorf("log %q", s)
		}
		// The one who asked gets what the board said.
		if m, err := c.Expect(t.Context(), expect.String("horse")); err != nil || m.Before != "a correct " {
			t.Errorf("got %+v, %v", m, err)
		}
	})
}
