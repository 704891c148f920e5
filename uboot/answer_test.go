package uboot_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/uboot"
)

// TestBadAnswers asks for variables and sets them over lines that spoil what U-Boot
// answers: a wrong value is never taken for the right one, and few questions fail.
func TestBadAnswers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		printed func([]byte) []byte
	}{
		{"1 in 500 printed is lost", each(0.002, 21, dropped)},
		{"1 in 500 printed is repeated", each(0.002, 22, repeated)},
		{"1 in 500 printed has a wrong bit", each(0.002, 23, flipped)},
		{"1 in 500 printed has a line of noise before", each(0.002, 24, noise)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := &badLine{printed: tc.printed}
				b := &oldBoard{modern: true, line: line.between}
				s := atPrompt(t, b)
				line.turn(true)
				failed := 0
				for i := range 100 {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
					want := fmt.Sprintf("192.168.%d.%d", i, i*i%256)
					err := s.SetEnv(ctx, "serverip", want)
					var got string
					if err == nil {
						got, err = s.Env(ctx, "serverip")
					}
					cancel()
					synctest.Wait()
					switch {
					case err != nil:
						failed++
						t.Log(err)
						line.turn(false)
						if err := s.Interrupt(t.Context()); err != nil {
							t.Fatal(err)
						}
						line.turn(true)
					case got != want || b.env["serverip"] != want:
						t.Errorf("set %q, the board has %q and says %q", want, b.env["serverip"], got)
					}
				}
				t.Logf("%d of 100 failed", failed)
				if failed > 5 {
					t.Errorf("%d of 100 failed", failed)
				}
			})
		})
	}
}

// TestAnswersDiffer: what is never answered twice in the same way is an error.
func TestAnswersDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		b := &oldBoard{modern: true, commands: map[string]func(*oldBoard, []string){"printenv": func(b *oldBoard, args []string) {
			n++
			b.print("%s=192.0.2.%d\n", args[1], n)
		}}}
		_, err := atPrompt(t, b).Env(t.Context(), "ipaddr")
		wantError(t, err, uboot.ErrCorrupt, "env", "")
	})
}
