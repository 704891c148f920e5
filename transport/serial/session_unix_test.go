//go:build unix

package serial_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/serial"
)

// TestCommandsSession: a Ctrl-C at the terminal goes to the terminal's foreground
// group, which the command must not be in, and Close ends what it started, also what
// does not care about the end of its input.
func TestCommandsSession(t *testing.T) {
	deadline(t)
	testtool.Need(t, "sh", "a POSIX shell")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("sleep 1000 &\necho $! $$\nexec sleep 1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := serial.Open(t.Context(), "exec:sh "+script)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(p).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, word := range strings.Fields(line) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
		if group, err := syscall.Getpgid(pid); err != nil || group == syscall.Getpgrp() {
			t.Errorf("process %d is in group %d, %v, which is that of this process", pid, group, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for _, pid := range pids {
		// What was killed is gone when its new parent has waited for it.
		for begun := time.Now(); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Since(begun) > time.Minute {
				t.Errorf("process %d outlives the console", pid)
				break
			}
		}
	}
}

// alive tells whether a process runs; a zombie does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
