package applet

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/ash"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

func (m *Machine) systemTools() map[string]func(*call, []string) int {
	return map[string]func(*call, []string) int{
		"sleep": sleep, "usleep": usleep, "sync": syncDisks, "uname": m.uname, "nproc": m.nproc, "hostname": m.hostname, "dmesg": dmesg, "ps": ps, "mount": mount,
		"umount": unknown,
		"reboot": shutdown("reboot"), "poweroff": shutdown("poweroff"), "halt": shutdown("halt"),
		"stty": stty, "tty": tty, "date": date, "timeout": timeout, "env": env, "id": id, "whoami": func(c *call, _ []string) int { c.printf("root\n"); return 0 },
		"blockdev": m.blockdev, "partprobe": m.partprobe, "blkdiscard": blkdiscard, "uptime": uptime, "free": free, "setsid": setsid, "cttyhack": cttyhack, "nohup": nohup, "nice": nohup,
		"busybox": busyboxMain, "mdev": mdev, "insmod": unknown, "modprobe": unknown, "sysctl": unknown, "expr": expr, "which": which,
	}
}

// mdev has nothing to do: the device nodes are always there.
func mdev(c *call, args []string) int {
	if len(args) != 1 || args[0] != "-s" {
		return usage(c)
	}
	return 0
}

func unknown(c *call, _ []string) int { return c.fail("not known to the simulated board") }

var timeSuffix = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}

func duration(text string) (time.Duration, bool) {
	unit := time.Second
	if n := len(text); n > 0 && timeSuffix[text[n-1]] != 0 {
		unit, text = timeSuffix[text[n-1]], text[:n-1]
	}
	v, err := strconv.ParseFloat(text, 64)
	return time.Duration(v * float64(unit)), err == nil && v >= 0
}

func sleep(c *call, args []string) int {
	if len(args) == 0 {
		return usage(c)
	}
	var total time.Duration
	for _, a := range args {
		if a == "infinity" || a == "inf" {
			total += 1 << 60
			continue
		}
		d, ok := duration(a)
		if !ok {
			return c.fail("invalid number '%s'", a)
		}
		total += d
	}
	if c.Sleep(total) != nil {
		return 1
	}
	return 0
}

func usleep(c *call, args []string) int {
	if len(args) == 0 {
		return usage(c)
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return c.fail("invalid number '%s'", args[0])
	}
	c.Sleep(time.Duration(n) * time.Microsecond)
	return 0
}

// syncDisks has nothing to write: what dd has written is on the disk.
func syncDisks(*call, []string) int { return 0 }

func (m *Machine) uname(c *call, args []string) int {
	o, _, ok := c.parse(args, "asnrvmpio", "", nil)
	if !ok {
		return 1
	}
	var words []string
	for _, f := range []struct {
		flag byte
		text string
	}{{'s', "Linux"}, {'n', m.Hostname}, {'r', m.Release}, {'v', m.Version}, {'m', m.Arch}, {'o', "GNU/Linux"}} {
		if o.has('a') || o.has(f.flag) || len(o) == 0 && f.flag == 's' {
			words = append(words, f.text)
		}
	}
	c.printf("%s\n", strings.Join(words, " "))
	return 0
}

func (m *Machine) nproc(c *call, _ []string) int { c.printf("%d\n", m.CPUs); return 0 }

func (m *Machine) hostname(c *call, args []string) int {
	if len(args) > 0 {
		return unknown(c, args)
	}
	c.printf("%s\n", m.Hostname)
	return 0
}

func dmesg(c *call, args []string) int {
	o, _, ok := c.parse(args, "", "n", nil)
	if !ok {
		return 1
	}
	if o.has('n') {
		n, err := strconv.Atoi(o['n'])
		if err != nil || n < 1 || n > 8 {
			return c.fail("invalid number '%s'", o['n'])
		}
		c.K.Log.SetLevels(n)
		return 0
	}
	for _, line := range c.K.Log.Lines() {
		c.printf("%s\n", line)
	}
	return 0
}

func ps(c *call, _ []string) int {
	c.printf("PID   USER     COMMAND\n")
	for _, p := range c.K.Processes() {
		c.printf("%5d root     %s\n", p.PID, strings.Join(p.Command(), " "))
	}
	return 0
}

func mount(c *call, args []string) int {
	if len(args) > 0 {
		return unknown(c, args)
	}
	f, done, err := c.open("/proc/mounts")
	if err != nil {
		return c.fail("can't read '/proc/mounts': %v", err)
	}
	defer done()
	data, _ := io.ReadAll(f)
	for line := range strings.Lines(string(data)) {
		if w := strings.Fields(line); len(w) >= 4 {
			c.printf("%s on %s type %s (%s)\n", w[0], w[1], w[2], w[3])
		}
	}
	return 0
}

// shutdown ends the system; -f and -n make no difference here.
func shutdown(action string) func(*call, []string) int {
	return func(c *call, args []string) int {
		if _, _, ok := c.parse(args, "fn", "", nil); !ok {
			return 1
		}
		c.K.Stop(&kernel.Shutdown{Action: action})
		return 0
	}
}

func tty(c *call, _ []string) int {
	if f := c.FDs.Get(0); ash.IsTerminal(f) {
		c.printf("%s\n", f.Path)
		return 0
	}
	c.printf("not a tty\n")
	return 1
}

func date(c *call, args []string) int {
	o, rest, ok := c.parse(args, "u", "sd", nil)
	if !ok {
		return 1
	}
	now := c.K.Clock.Now()
	parse := func(text string) (time.Time, bool) {
		if sec, ok := strings.CutPrefix(text, "@"); ok {
			n, err := strconv.ParseInt(sec, 10, 64)
			return time.Unix(n, 0), err == nil
		}
		for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "2006.01.02-15:04:05", "200601021504.05", "200601021504"} {
			if t, err := time.Parse(layout, text); err == nil {
				return t, true
			}
		}
		return time.Time{}, false
	}
	for _, key := range []byte("sd") {
		if !o.has(key) {
			continue
		}
		t, ok := parse(o[key])
		if !ok {
			return c.fail("invalid date '%s'", o[key])
		}
		now = t
		if key == 's' {
			c.K.Clock.Set(t)
		}
	}
	now = now.UTC()
	if len(rest) == 0 || !strings.HasPrefix(rest[0], "+") {
		c.printf("%s\n", now.Format("Mon Jan _2 15:04:05 UTC 2006"))
		return 0
	}
	words := []string{"%s", fmt.Sprint(now.Unix()), "%Y", now.Format("2006"), "%m", now.Format("01"), "%d", now.Format("02"), "%H", now.Format("15"), "%M", now.Format("04"), "%S", now.Format("05"),
		"%F", now.Format("2006-01-02"), "%T", now.Format("15:04:05"), "%N", fmt.Sprintf("%09d", now.Nanosecond()), "%%", "%", "%n", "\n"}
	c.printf("%s\n", strings.NewReplacer(words...).Replace(rest[0][1:]))
	return 0
}

func id(c *call, args []string) int {
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if strings.Contains(args[0], "n") {
			c.printf("root\n")
		} else {
			c.printf("0\n")
		}
		return 0
	}
	c.printf("uid=0(root) gid=0(root)\n")
	return 0
}

func uptime(c *call, _ []string) int {
	up := c.K.Clock.Uptime()
	c.printf(" %s up %d min,  0 users,  load average: 0.00, 0.00, 0.00\n", c.K.Clock.Now().UTC().Format("15:04:05"), int(up.Minutes()))
	return 0
}

func free(c *call, _ []string) int {
	limit, used := c.K.FS.Limit()
	c.printf("              total        used        free      shared  buff/cache   available\nMem:    %11d %11d %11d %11d %11d %11d\n", limit>>9, used>>10, (limit*2-used)>>10, 0, 0, (limit*2-used)>>10)
	return 0
}

func which(c *call, args []string) int {
	status := 0
	for _, name := range args {
		found := false
		for dir := range strings.SplitSeq("/sbin:/usr/sbin:/bin:/usr/bin", ":") {
			if n, err := c.K.FS.Stat(c.Process, dir+"/"+name, true); err == nil && n.Mode()&0o111 != 0 {
				c.printf("%s/%s\n", dir, name)
				found = true
				break
			}
		}
		if !found {
			status = 1
		}
	}
	return status
}

// expr knows + - * / % and comparisons of two operands.
func expr(c *call, args []string) int {
	if len(args) != 3 {
		return c.fail("only one operation is known to the simulated board")
	}
	a, err1 := strconv.ParseInt(args[0], 10, 64)
	b, err2 := strconv.ParseInt(args[2], 10, 64)
	if args[1] == "=" || args[1] == "!=" {
		return c.truth((args[0] == args[2]) == (args[1] == "="))
	}
	if err1 != nil || err2 != nil {
		c.fail("non-numeric argument")
		return 2
	}
	var v int64
	switch args[1] {
	case "+":
		v = a + b
	case "-":
		v = a - b
	case "*":
		v = a * b
	case "/", "%":
		if b == 0 {
			c.fail("division by zero")
			return 2
		}
		if v = a / b; args[1] == "%" {
			v = a % b
		}
	case "<":
		return c.truth(a < b)
	case "<=":
		return c.truth(a <= b)
	case ">":
		return c.truth(a > b)
	case ">=":
		return c.truth(a >= b)
	default:
		c.fail("syntax error")
		return 2
	}
	c.printf("%d\n", v)
	if v == 0 {
		return 1
	}
	return 0
}

func (c *call) truth(v bool) int {
	if v {
		c.printf("1\n")
		return 0
	}
	c.printf("0\n")
	return 1
}
