package bootloader

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// command runs one command and returns its exit status.
func (m *machine) command(w []string) int {
	run, ok := map[string]func([]string) int{
		"booti": m.bootKernel, "bootz": m.bootKernel, "bootm": m.bootImage,
		"crc32": m.crc32, "dhcp": m.dhcp, "echo": m.echo, "help": m.help, "loadx": m.loadx, "loady": m.loady,
		"printenv": m.printenv, "reset": m.reset, "run": m.runVariable,
		"setenv": m.setenv, "sleep": m.sleep, "tftpboot": m.tftpboot, "version": m.version, "wget": m.wget,
		"false": func([]string) int { return 1 }, "true": func([]string) int { return 0 },
	}[w[0]]
	other := (w[0] == "booti" || w[0] == "bootz") && w[0] != m.cfg.BootKernel
	if !ok || other || slices.Contains(m.cfg.Missing, w[0]) {
		m.printf("Unknown command '%s' - try 'help'\n", w[0])
		return 1
	}
	if slices.Contains([]string{"loadx", "loady", "reset", "setenv"}, w[0]) {
		m.once = true // in U-Boot's table of commands: not repeatable
	}
	return run(w)
}

func (m *machine) usage(w []string, what, args string) int {
	m.printf("%s - %s\n\nUsage:\n%s %s\n", w[0], what, w[0], args)
	return 1
}

func (m *machine) echo(w []string) int {
	m.print(strings.Join(w[1:], " ") + "\n")
	return 0
}

func (m *machine) version([]string) int {
	m.printf("U-Boot %s\n\ngcc (simulated)\nld (simulated)\n", m.release())
	return 0
}

func (m *machine) printenv(w []string) int {
	if len(w) == 1 {
		for _, name := range slices.Sorted(maps.Keys(m.env)) {
			m.printf("%s=%s\n", name, m.env[name])
		}
		m.print("\nEnvironment size: 1024/262140 bytes\n")
		return 0
	}
	status := 0
	for _, name := range w[1:] {
		value, ok := m.env[name]
		if !ok {
			m.printf("## Error: \"%s\" not defined\n", name)
			status = 1
			continue
		}
		m.printf("%s=%s\n", name, value)
	}
	return status
}

func (m *machine) setenv(w []string) int {
	if len(w) < 2 {
		return m.usage(w, "set environment variables", "[-f] name value ...")
	}
	if strings.Contains(w[1], "=") {
		m.printf("## Error: illegal character '=' in variable name \"%s\"\n", w[1])
		return 1
	}
	value := strings.Join(w[2:], " ")
	if value == "" {
		delete(m.env, w[1])
		return 0
	}
	m.env[w[1]] = value
	return 0
}

func (m *machine) runVariable(w []string) int {
	if len(w) < 2 {
		return m.usage(w, "run commands in an environment variable", "var [...]")
	}
	for _, name := range w[1:] {
		text, ok := m.env[name]
		if !ok {
			m.printf("## Error: \"%s\" not defined\n", name)
			return 1
		}
		if m.depth++; m.depth > 32 {
			m.print("run: too deep\n")
			m.depth--
			return 1
		}
		m.list(text)
		m.depth--
		if m.stat != 0 {
			return m.stat
		}
	}
	return m.stat
}

func (m *machine) sleep(w []string) int {
	if len(w) != 2 {
		return m.usage(w, "delay execution for some time", "N")
	}
	seconds, err := strconv.ParseFloat(w[1], 64)
	if err != nil {
		return 1
	}
	if m.pause(time.Duration(seconds * float64(time.Second))) {
		return 1
	}
	return 0
}

func (m *machine) reset([]string) int {
	m.print("resetting ...\n")
	m.end = &Ending{}
	return 0
}

func (m *machine) crc32(w []string) int {
	if len(w) < 3 {
		return m.usage(w, "checksum calculation", "address count [addr]\n    - compute CRC32 checksum [save at addr]")
	}
	at, err := number(w[1])
	size, err2 := number(w[2])
	if err != nil || err2 != nil || size == 0 {
		return m.usage(w, "checksum calculation", "address count [addr]\n    - compute CRC32 checksum [save at addr]")
	}
	m.printf("crc32 for %08x ... %08x ==> %08x\n", at, at+size-1, crc32.ChecksumIEEE(m.ram.read(at, size)))
	return 0
}

// number reads a number as U-Boot does: hexadecimal with or without 0x.
func number(s string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(s), "0x"), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return n, nil
}
