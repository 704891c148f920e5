package busybox

import (
	"bytes"
	"strings"
	"testing"
)

// scan feeds text cut into pieces of n bytes and returns what comes out.
func scan(text string, n int, kmsg bool) (out, rest string, a answer, done bool) {
	sc := &scanner{id: "bcd", end: mark{"fgh", "jkm"}, name: "npq", kmsg: kmsg}
	var b bytes.Buffer
	for len(text) > 0 {
		piece := text[:min(n, len(text))]
		text = text[len(piece):]
		got, ans, ok := sc.feed(piece)
		b.Write(got)
		if ok {
			return b.String(), text, ans, true
		}
	}
	b.Write(sc.rest())
	return b.String(), "", a, false
}

func TestScanner(t *testing.T) {
	for _, tc := range []struct {
		name, in, out string
		done          bool
		a             answer
	}{
		{"output", "<bcd.bcd>\nhello\n<bcd.bcd:0:0>\n", "hello\n", true, answer{name: "npq", done: "bcd", status: "0"}},
		{"nothing", "<bcd.bcd>\n<bcd.bcd:7:7>\n", "", true, answer{name: "npq", done: "bcd", status: "7"}},
		{"no newline", "<bcd.bcd>\nabc<bcd.bcd:1:1>\n", "abc", true, answer{name: "npq", done: "bcd", status: "1"}},
		{"noise before", "sh: x: not found\n<bcd.bcd>\nabc<bcd.bcd:1:1>\n", "abc", true, answer{name: "npq", done: "bcd", status: "1"}},
		{"syntax error", "<bcd.bcd>\nsh: syntax error\n<fgh.jkm:npq:bcd::2::>\n", "sh: syntax error\n", true, answer{"npq", "bcd", "", "2", ""}},
		{"exit", "<bcd.bcd>\nx\n<fgh.jkm::::3:3:>\n", "x\n", true, answer{"", "", "", "3", "3"}},
		{"exit of a guarded shell", "<bcd.bcd>\nx<npq.npq>\x1b[?2004h\r\n<fgh.jkm::::3:3:>\n", "x", true, answer{"", "", "", "3", "3"}},
		{"one bit of the status", "<bcd.bcd>\nx\n<bcd.bcd:0:1>\n<fgh.jkm:npq:bcd:1:0::1>\n", "x\n", true, answer{"npq", "bcd", "1", "0", ""}},
		{"not started", "sh: _f: not found\n<fgh.jkm:npq:old:0:127::0>\n", "", true, answer{"npq", "old", "0", "127", ""}},
		{"kernel in the output", "<bcd.bcd>\nhel[   12.345678] usb 1-1: new\r\nlo\n<bcd.bcd:0:0>\n", "hello\n", true, answer{name: "npq", done: "bcd", status: "0"}},
		{"kernel in the marks", "<bcd[    1.000000][    T1] a\r\n.bcd>\nx<bc[    1.000000][C0] b\r\nd.bcd:0:0>\n", "x", true, answer{name: "npq", done: "bcd", status: "0"}},
		{"dmesg", "<bcd.bcd>\n[   12.345678] usb 1-1: new\n<bcd.bcd:0:0>\n", "[   12.345678] usb 1-1: new\n", true, answer{name: "npq", done: "bcd", status: "0"}},
		{"stamp without newline", "<bcd.bcd>\n[   12.345678] x<bcd.bcd:0:0>\n", "[   12.345678] x", true, answer{name: "npq", done: "bcd", status: "0"}},
		{"unfinished", "<bcd.bcd>\nabc<bcd.", "abc<bcd.", false, answer{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for n := 1; n <= len(tc.in); n++ {
				out, _, a, done := scan(tc.in, n, true)
				if out != tc.out || a != tc.a || done != tc.done {
					t.Fatalf("cut every %d bytes: %q %+v %v", n, out, a, done)
				}
			}
		})
	}
}

// Whatever a command prints and however it is cut, its output comes out as it
// went in, as long as it does not contain its own mark, which it cannot know.
func FuzzScanner(f *testing.F) {
	f.Add("hello\n", 3)
	f.Add("[   12.345678] x\r\n[    1.0", 1)
	f.Add("<bcd.bc<fgh.jkm<bcd.bcd", 2)
	f.Add("\x00\xff\r\r\n[[[ 1.000000] ", 7)
	f.Fuzz(func(t *testing.T, output string, n int) {
		if n <= 0 || n > 1<<16 || strings.Contains(output, "<bcd.bcd:") || strings.Contains(output, "<fgh.jkm:") {
			return
		}
		text := "<bcd.bcd>\n" + output + "<bcd.bcd:4:4>\n"
		out, _, a, done := scan(text, n, false)
		if out != output || !done || a.status != "4" {
			t.Errorf("got %q %+v %v", out, a, done)
		}
		// With the filter on only whole kernel messages may be missing.
		out, _, a, done = scan(text, n, true)
		want, _, _, _ := scan(text, len(text), true)
		if out != want || !done || a.status != "4" {
			t.Errorf("cut every %d bytes %q, else %q", n, out, want)
		}
		if !strings.Contains(output, "\r\n") && out != output {
			t.Errorf("filtered %q to %q, and no line ends with CR LF", output, out)
		}
	})
}

func FuzzDataLines(f *testing.F) {
	f.Add("echo a\n\n  b\t\n#.\n#+x")
	f.Add(strings.Repeat("x", 1000))
	f.Fuzz(func(t *testing.T, text string) {
		var got strings.Builder
		ended := false
		for line := range strings.Lines(dataLines(text)) {
			line = strings.TrimSuffix(line, "\n")
			if len(line) > maxTyped+2 || ended {
				t.Fatalf("line %q", line)
			}
			switch {
			case line == "#.":
				ended = true
			case strings.HasPrefix(line, "#-"):
				got.WriteString("\n" + line[2:])
			case strings.HasPrefix(line, "#+"):
				got.WriteString(line[2:])
			default:
				t.Fatalf("%q is no comment", line)
			}
		}
		if got.String() != text || !ended {
			t.Errorf("got %q, want %q", got.String(), text)
		}
	})
}

func FuzzParseBlockDevice(f *testing.F) {
	f.Add("size 100\nro 0\ndev 8:0\nnode /dev/sda\npart sda1 8:1 2 50 boot one\nmount 8:1 /\nswap /dev/sda1\nholder sda1 dm-0\nsource /dev/sda1 /mnt")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseBlockDevice("sda", text)
		if err == nil && (d.Size < 0 || d.Path == "") {
			t.Errorf("%+v", d)
		}
	})
}

func TestParseBlockDevice(t *testing.T) {
	d, err := parseBlockDevice("mmcblk0", "sys /sys/devices/x/mmcblk0\nsize 2000\nro 0\ndev 179:0\nssize 4096\nmodel SD32G\n"+
		"part mmcblk0p2 179:2 1000 900 root fs\npart mmcblk0p1 179:1 16 900 \nholder mmcblk0p2 dm-0\nnode /dev/mmcblk0\n"+
		"mount 0:20 /proc\nmount 179:1 /boot\nmount 8:1 /other\nsource /dev/mmcblk0p1 /boot\nsource /dev/mmcblk0p2 /btrfs\nswap /dev/mmcblk0p2")
	if err != nil {
		t.Fatal(err)
	}
	if d.Size != 2000*512 || d.SectorSize != 4096 || len(d.Partitions) != 2 || d.Partitions[1].Label != "root fs" || d.Partitions[0].Start != 16*512 {
		t.Errorf("%+v", d)
	}
	if got := strings.Join(d.Mounted, "; "); got != "/dev/mmcblk0p1 on /boot; /dev/mmcblk0p2 on /btrfs" {
		t.Errorf("mounted %q", got)
	}
	if got := strings.Join(d.Users, "; "); got != "mmcblk0p2 by dm-0; mmcblk0p2 as swap" {
		t.Errorf("users %q", got)
	}
}
