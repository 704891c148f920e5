package applet

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/ash"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

func xargs(c *call, args []string) int {
	n := 0
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch {
		case args[0] == "-n" && len(args) > 1:
			n, _ = strconv.Atoi(args[1])
			args = args[2:]
		case args[0] == "-r":
			args = args[1:]
		default:
			return c.fail("invalid option -- '%s'", strings.TrimLeft(args[0], "-"))
		}
	}
	if len(args) == 0 {
		args = []string{"echo"}
	}
	data, err := io.ReadAll(c.in)
	if err != nil {
		return 1
	}
	words := strings.Fields(string(data))
	if n <= 0 {
		n = max(len(words), 1)
	}
	status := 0
	for first := true; first || len(words) > 0; first = false {
		m := min(n, len(words))
		if st := c.run(slices.Concat(args, words[:m])); st != 0 {
			status = 123
			if st == 127 {
				return 127
			}
		}
		words = words[m:]
	}
	return status
}

// run runs another program with this one's descriptors and waits for it.
func (c *call) run(args []string) int {
	child := c.Fork()
	child.Become(args, child.Env)
	path := args[0]
	if !strings.Contains(path, "/") {
		for dir := range strings.SplitSeq(c.Env["PATH"]+":/sbin:/usr/sbin:/bin:/usr/bin", ":") {
			if n, err := c.K.FS.Stat(c.Process, dir+"/"+path, true); err == nil && n.Mode()&0o111 != 0 {
				path = dir + "/" + path
				break
			}
		}
	}
	program, err := ash.Program(child, path)
	if err != nil {
		child.Exit(127)
		c.fail("can't execute '%s': %v", args[0], err)
		return 127
	}
	c.K.Go(func() { child.Exit(program(child)) })
	select {
	case <-child.Done():
	case <-c.Dying():
		child.Signal(kernel.SIGTERM)
		<-child.Done()
	}
	status, _ := child.Status()
	return status
}

// timeout runs a program and ends it after a while.
func timeout(c *call, args []string) int {
	sig := kernel.SIGTERM
	var killAfter time.Duration
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch {
		case args[0] == "-s":
			switch strings.TrimPrefix(strings.ToUpper(args[1]), "SIG") {
			case "KILL", "9":
				sig = kernel.SIGKILL
			case "INT", "2":
				sig = kernel.SIGINT
			case "TERM", "15":
			default:
				return c.fail("unknown signal '%s'", args[1])
			}
			args = args[2:]
		case args[0] == "-k":
			killAfter, _ = duration(args[1])
			args = args[2:]
		default:
			return usage(c)
		}
	}
	if len(args) < 2 {
		return usage(c)
	}
	d, ok := duration(args[0])
	if !ok {
		return c.fail("invalid number '%s'", args[0])
	}
	child := c.Process
	timer := time.AfterFunc(d, func() {
		child.Signal(sig)
		if killAfter > 0 {
			time.AfterFunc(killAfter, func() { child.Signal(kernel.SIGKILL) })
		}
	})
	defer timer.Stop()
	return c.become(args[1:])
}

// become runs another program in this one's place.
func (c *call) become(args []string) int {
	path := args[0]
	if !strings.Contains(path, "/") {
		for dir := range strings.SplitSeq(c.Env["PATH"]+":/sbin:/usr/sbin:/bin:/usr/bin", ":") {
			if n, err := c.K.FS.Stat(c.Process, dir+"/"+path, true); err == nil && n.Mode()&0o111 != 0 {
				path = dir + "/" + path
				break
			}
		}
	}
	program, err := ash.Program(c.Process, path)
	if err != nil {
		c.fail("can't execute '%s': %v", args[0], err)
		if err == kernel.ENOENT {
			return 127
		}
		return 126
	}
	c.Become(args, c.Env)
	return program(c.Process)
}

func env(c *call, args []string) int {
	if len(args) > 0 && (args[0] == "-i" || args[0] == "-") {
		clear(c.Env)
		args = args[1:]
	}
	for len(args) > 0 && strings.Contains(args[0], "=") {
		k, v, _ := strings.Cut(args[0], "=")
		c.Env[k] = v
		args = args[1:]
	}
	if len(args) > 0 {
		return c.become(args)
	}
	for k, v := range c.Env {
		c.printf("%s=%s\n", k, v)
	}
	return 0
}

func nohup(c *call, args []string) int {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		args = args[1:]
		if len(args) > 1 && args[0] != "" && args[0][0] >= '0' && args[0][0] <= '9' {
			args = args[1:]
		}
	}
	if len(args) == 0 {
		return usage(c)
	}
	if c.name() == "nohup" {
		c.Ignore(kernel.SIGHUP, true)
	}
	return c.become(args)
}

// setsid starts a program in a session of its own; -c gives it the terminal.
func setsid(c *call, args []string) int {
	control := false
	if len(args) > 0 && args[0] == "-c" {
		control = true
		args = args[1:]
	}
	if len(args) == 0 {
		return usage(c)
	}
	c.SetPGID(c.PID)
	if control {
		c.K.TTY.SetControl(true)
		c.K.TTY.SetForeground(c.PID)
	}
	return c.become(args)
}

func cttyhack(c *call, args []string) int {
	if len(args) == 0 {
		return usage(c)
	}
	c.K.TTY.SetControl(true)
	c.K.TTY.SetForeground(c.PGID())
	return c.become(args)
}

func busyboxMain(c *call, args []string) int {
	if len(args) == 0 {
		c.printf("BusyBox v1.35.0 (simulated) multi-call binary.\n")
		return 0
	}
	return c.become(args)
}
