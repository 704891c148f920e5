//go:build unix

package busybox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
)

const panicText = "[  101.000001] sysrq: Trigger a crash\r\n" +
	"[  101.000002] Kernel panic - not syncing: sysrq triggered crash\r\n" +
	"[  101.000003] CPU: 0 PID: 1 Comm: sh Not tainted 6.1.0\r\n" +
	"[  101.000004] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---\r\n"

func TestBoardDiesWhileACommandRuns(t *testing.T) {
	for _, tc := range []struct {
		name, says, text string
		want             []error
	}{
		{"panic", panicText, "sysrq triggered crash", []error{busybox.ErrPanic}},
		{"oops", "\r\n[   12.000000] Unable to handle kernel NULL pointer dereference at virtual address 0\r\n[   12.1] more\r\n", "NULL pointer", []error{busybox.ErrPanic}},
		{"reset into U-Boot", "\x00\x00\r\nU-Boot SPL 2023.01 (Jan 01 2023 - 00:00:00 +0000)\r\nTrying to boot from MMC1\r\n", "U-Boot SPL", []error{busybox.ErrReset}},
		{"reset into Linux", "[    0.000000] Booting Linux on physical CPU 0x0\r\n", "Booting Linux", []error{busybox.ErrReset}},
		{"panic for want of memory", "[   20.000000] Kernel panic - not syncing: Out of memory and no killable processes...\r\n", "killable", []error{busybox.ErrPanic, busybox.ErrOutOfMemory}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, l := noisy(t, 1)
			login(t, s)
			said := false
			err := s.Stream(ctx(t), "echo running; sleep 1000", func(b []byte) {
				if !said {
					said = true
					l.take(tc.says)
				}
			})
			for _, want := range tc.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			}
			if err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v does not say %q", err, tc.text)
			}
			if !errors.Is(s.Err(), tc.want[0]) {
				t.Errorf("Err: %v", s.Err())
			}
			if _, err := s.Run(ctx(t), "true"); !errors.Is(err, tc.want[0]) {
				t.Errorf("the next command: %v", err)
			}
		})
	}
}

func TestBoardDiesBetweenCommands(t *testing.T) {
	t.Parallel()
	s, l := noisy(t, 1)
	login(t, s)
	l.take(panicText)
	if _, err := s.Run(ctx(t), "true"); !errors.Is(err, busybox.ErrPanic) || !strings.Contains(err.Error(), "sysrq") {
		t.Errorf("error %v", err)
	}
}

func TestBoardFallsSilent(t *testing.T) {
	t.Parallel()
	s, l := noisy(t, 1)
	login(t, s)
	l.take("...")
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Run(short, "true"); !errors.Is(err, busybox.ErrShellLost) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
