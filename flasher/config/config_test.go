package config_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power"
)

const good = `boards:
  ti-03:
    board: ti-j784s4
    serial:
      url: /dev/ttyUSB0
      baudrate: 1500000
    power: {type: command, on: "true", off: "true"}
    default_target: emmc
    uboot: {prompts: ["J7 => "], stop_key: "\e"}
    cycle_wait: 5s
  rpi:
    flasher_bundle: registry.lab/rpi:1
    serial: tcp://rack7:4001
    power:
      type: command
      on: curl -u lab:${RELAY_PASSWORD} rack7/1/on
      off: curl rack7/1/off
    tftp_dir: /srv/tftp
    http_dir: /srv/images
    cacert: /etc/lab-ca.pem
    server_address: 10.0.0.1
    bind_address: 10.0.0.1
`

func replace(old, new string) string { return strings.Replace(good, old, new, 1) }

func TestProblems(t *testing.T) {
	for _, tc := range []struct{ name, text, says string }{
		{"empty", "", "it is empty"},
		{"no boards", "boards: {}", "it has no boards"},
		{"two documents", good + "---\n" + good, "more than one YAML document"},
		{"a list", "- a\n", "1:1: must be a mapping"},
		{"no YAML", "boards: [", "line 1"},
		{"misspelt key", replace("serial:", "serail:"), `4:5: boards.ti-03.serail: unknown key "serail"; did you mean "serial"?`},
		{"misspelt driver key", replace("baudrate", "baudrat"), `6:7: boards.ti-03.serial.baudrat: unknown key "baudrat"; did you mean "baudrate"?`},
		{"strange key", replace("default_target:", "colour:"), `unknown key "colour"; known are bind_address, board, cacert`},
		{"misspelt top", "board: {}\n", `unknown key "board"; did you mean "boards"?`},
		{"unknown driver", replace("type: command", "type: comand"), `boards.ti-03.power.type: unknown power driver "comand"; did you mean "command"?`},
		{"no power type", replace("type: command, ", ""), "7:12: boards.ti-03.power: it has no type; known are command, gpio, "},
		{"place of a type", replace("type: command", "type: comand"), "7:19: boards.ti-03.power.type: unknown"},
		{"power that is a text", replace(`{type: command, on: "true", off: "true"}`, "on"), "7:12: boards.ti-03.power: must be a mapping"},
		{"request that is a text", replace(`{type: command, on: "true", off: "true"}`, `{type: http, on: "http://s/on", off: {url: "http://s/off"}}`),
			"7:29: boards.ti-03.power.on: must be a mapping of keys to values; known are body, method, url"},
		{"nobody's switch", replace(`{type: command, on: "true", off: "true"}`, "{type: manual}"), "7:12: boards.ti-03.power: it has no board"},
		{"no relay", replace(`{type: command, on: "true", off: "true"}`, "{type: relay}"), "7:12: boards.ti-03.power: it has no port and no relay"},
		{"no make", replace(`{type: command, on: "true", off: "true"}`, "{type: snmp, address: a}"), "7:12: boards.ti-03.power: it has no make; known are apc, "},
		{"no port", replace(`{type: command, on: "true", off: "true"}`, "{type: ykush}"), "7:12: boards.ti-03.power: it has no port"},
		{"blank in an address", replace(`{type: command, on: "true", off: "true"}`, "{type: shelly, address: 'a b'}"), "the address is neither HOST"},
		{"tab", replace("    default_target", "\tdefault_target"), "(YAML is indented with blanks and not with tabs)"},
		{"variable in braces", replace(`off: "true"`, "off: ${OFF}"), "(within braces, a value with a variable must be in quotes"},
		{"indentation", replace("    default_target", "   default_target"), "indented more or less than its neighbours"},
		{"rate in quotes that is none", replace("1500000", `"fast"`), "6:17: boards.ti-03.serial.baudrate: fast is not a whole number"},
		{"no off", replace(`, off: "true"`, ""), "boards.ti-03.power: it has no off"},
		{"no bundle", replace("    board: ti-j784s4\n", ""), "2:3: boards.ti-03: it has no flasher_bundle"},
		{"no serial", replace("    serial: tcp://rack7:4001\n", ""), "boards.rpi: it has no serial"},
		{"unknown board", replace("ti-j784s4", "ti-j784"), "boards.ti-03.board: unknown board"},
		{"board twice", good + "  rpi: {}\n", "boards.rpi: it is there already, in line 11"},
		{"key twice", replace("    default_target", "    board: x\n    default_target"), "ti-03.board: it is there already, in line 3"},
		{"no number", replace("1500000", "fast"), "6:17: boards.ti-03.serial.baudrate: fast is not a whole number"},
		{"speed twice", replace("/dev/ttyUSB0", "/dev/ttyUSB0?baud=9600"), "say it once"},
		{"misspelt load method", replace("cycle_wait: 5s", "load: ymodm"), `10:11: boards.ti-03.load: unknown load method "ymodm"; did you mean "ymodem"?`},
		{"no address", replace("cycle_wait: 5s", "tftp_server: lab"), "10:18: boards.ti-03.tftp_server:"},
		{"directory that is not used", replace("cycle_wait: 5s", "load: ymodem\n    tftp_dir: /srv/tftp"), "11:5: boards.ti-03.tftp_dir: it has no meaning with load: ymodem"},
		{"server that is not used", replace("cycle_wait: 5s", "load: http\n    tftp_server: 10.0.0.2"), "11:5: boards.ti-03.tftp_server: it has no meaning with load: http"},
		{"rate that is not used", replace("cycle_wait: 5s", "load_baud: 1500000\n    load: tftp"), "10:5: boards.ti-03.load_baud: it has no meaning with load: tftp"},
		{"prefix of no server", replace("cycle_wait: 5s", "tftp_prefix: lab/"), "10:5: boards.ti-03.tftp_prefix: it is of no use without tftp_server"},
		{"bind address", replace("cycle_wait: 5s", "bind_address: eth0"), "10:19: boards.ti-03.bind_address:"},
		{"no duration", replace("5s", "soon"), "10:17: boards.ti-03.cycle_wait:"},
		{"no address of this host", replace("cycle_wait: 5s", "server_address: lab"), "10:21: boards.ti-03.server_address:"},
		{"no bind address", replace("cycle_wait: 5s", "bind_address: 10.0.0.300"), "10:19: boards.ti-03.bind_address:"},
		{"prompt that is empty", replace(`prompts: ["J7 => "]`, `prompts: ["J7 => ", ""]`), "9:33: boards.ti-03.uboot.prompts[1]: it is empty"},
		{"prompt that is no list", replace(`["J7 => "]`, "J7"), "9:22: boards.ti-03.uboot.prompts: J7 is not a list: write it as [a, b]"},
		{"prompt that is a list", replace(`["J7 => "]`, "[[J7]]"), "9:23: boards.ti-03.uboot.prompts[0]: a list is not a single value"},
		{"stop key that is empty", replace(`"\e"`, `""`), "9:44: boards.ti-03.uboot.stop_key: it is empty"},
		{"server that nobody reaches", replace("cycle_wait: 5s", "server_address: 0.0.0.0"), "10:21: boards.ti-03.server_address: 0.0.0.0 is no address that a board could reach"},
		{"TFTP server that nobody reaches", replace("cycle_wait: 5s", "tftp_prefix: lab/\n    tftp_server: 0.0.0.0"), "11:18: boards.ti-03.tftp_server: 0.0.0.0 is no address that a board could reach"},
		{"prefix with a blank", replace("cycle_wait: 5s", "tftp_server: 10.0.0.2\n    tftp_prefix: a b"), `11:18: boards.ti-03.tftp_prefix: the prefix "a b" has a character`},
		{"no truth", replace(`{type: command, on: "true", off: "true"}`, "{type: relay, port: p, relay: 1, status: maybe}"), "7:53: boards.ti-03.power.status: maybe is not true or false"},
		{"pace", replace("cycle_wait: 5s", "pace: .nan"), "10:11: boards.ti-03.pace: NaN is not from 1 to 1000000"},
		{"negative wait", replace("cycle_wait: 5s", "cycle_wait: -5s"), "10:17: boards.ti-03.cycle_wait: -5s is less than 1ms"},
		{"nonsense in a URL", replace("/dev/ttyUSB0", "/dev/ttyUSB0?parity=some"), "boards.ti-03.serial: open console /dev/ttyUSB0?baud=1500000&parity=some: bad console URL: parity=some is not known"},
		{"unknown kind of console", replace("/dev/ttyUSB0", "ftp://rack"), "unknown kind of console"},
		{"unknown board", replace("board: ti-j784s4", "board: ti-j784s5"), "boards.ti-03.board: "},
		{"no version of SNMP", replace(`{type: command, on: "true", off: "true"}`, "{type: snmp, address: a, make: apc, outlet: 1, community: c, version: 4}"),
			`7:82: boards.ti-03.power.version: "4" is none of 1, 2c and 3`},
		{"no port of a YKUSH", replace(`{type: command, on: "true", off: "true"}`, "{type: ykush, port: five}"), `7:32: boards.ti-03.power.port: "five" is neither`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v\nwant %q", err, tc.says)
			}
		})
	}
}

// TestQuotedNumbers: within braces a variable must be in quotes, also where it holds a
// number.
func TestQuotedNumbers(t *testing.T) {
	t.Setenv("RATE", "115200")
	t.Setenv("NO_RATE", "sesame")
	t.Setenv("EMPTY", "")
	if _, err := config.Parse([]byte(replace(`"J7 => "`, `"${EMPTY}"`))); err == nil || !strings.Contains(err.Error(), "9:23: boards.ti-03.uboot.prompts[0]: what ${EMPTY} holds is empty") {
		t.Errorf("an empty variable: %v", err)
	}
	for rate, says := range map[string]string{`"115200"`: "", `"${RATE}"`: "", "'1500000'": "", `"${NO_RATE}"`: "what ${NO_RATE} holds is not a whole number"} {
		_, err := config.Parse([]byte("boards:\n  a: {flasher_bundle: x, serial: {url: /dev/ttyUSB0, baudrate: " + rate + "}, power: {type: relay, port: p, relay: 1, status: \"true\", settle: \"1s\"}}\n"))
		if (says == "") != (err == nil) || says != "" && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", rate, err, says)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := config.Parse([]byte(replace("serial:", "serail:") + "  other: {}\n"))
	for _, want := range []string{"serail", "boards.other: it has no flasher_bundle", "boards.other: it has no power"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestBoard(t *testing.T) {
	f, err := config.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ti-04", ""} {
		if _, err := f.Board(name); !errors.Is(err, config.ErrUnknownBoard) || !strings.Contains(err.Error(), "rpi, ti-03") {
			t.Errorf("board %q: got %v, want ErrUnknownBoard with the names that there are", name, err)
		}
	}
	b, err := f.Board("ti-03")
	if err != nil {
		t.Fatal(err)
	}
	if want := "quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest"; b.FlasherBundle != want {
		t.Errorf("bundle %q, want %q", b.FlasherBundle, want)
	}
	if _, err := b.Flasher(); err != nil {
		t.Error(err)
	}
}

// TestLoadKeys: what the keys about loading say reaches the Flasher, which knows
// what does not go together, and the file's error says of which board.
func TestLoadKeys(t *testing.T) {
	for keys, says := range map[string]string{
		"{load: http, http_port: 80}":                            "",
		"{tftp_server: 10.0.0.2, tftp_prefix: lab/, load: tftp}": "",
		"{tftp_server: 10.0.0.2, tftp_prefix: \"a b\"}":          "the prefix \"a b\"",
		"{load: kermit, load_baud: 1500000}":                     "",
	} {
		text := "boards:\n  a: {flasher_bundle: x, serial: tcp://rack:1, power: {type: command, on: a, off: b}, " + keys[1:] + "\n"
		f, err := config.Parse([]byte(text))
		if says != "" {
			if err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "2:123: boards.a.tftp_prefix: ") {
				t.Errorf("%s: got %v, want %q with its place", keys, err, says)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", keys, err)
		}
		b, err := f.Board("a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Flasher(); err != nil {
			t.Errorf("%s: %v", keys, err)
		}
	}
}

// TestPowerTimeout: a switch that is given time has it.
func TestPowerTimeout(t *testing.T) {
	for power, want := range map[string]time.Duration{
		"{type: shelly, address: a}":                                   30 * time.Second,
		"{type: shelly, address: a, settle: 2s}":                       32 * time.Second,
		"{type: shelly, address: a, timeout: 1m, tries: 2, pause: 3s}": 126 * time.Second,
		"{type: redfish, address: a, user: u, graceful: 45s}":          105 * time.Second,
		"{type: command, on: a, off: b}":                               30 * time.Second,
	} {
		f, err := config.Parse([]byte("boards:\n  a: {flasher_bundle: x, serial: tcp://rack:1, power: " + power + "}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := f.Board("a"); err != nil || b.PowerTimeout != want {
			t.Errorf("%s: %v, %v; want %v", power, b.PowerTimeout, err, want)
		}
	}
}

// TestMerge: what boards have in common is written once.
func TestMerge(t *testing.T) {
	const text = `
x-lab: &lab
  flasher_bundle: lab/bundle:1
  power: &pdu {type: snmp, address: pdu7, make: apc, community: lab, outlet: 1}
boards:
  a:
    <<: *lab
    serial: tcp://rack:1
  b:
    <<: [{cycle_wait: 7s}, *lab]
    serial: tcp://rack:2
    power: {<<: *pdu, outlet: 2}
`
	f, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, wait := range map[string]time.Duration{"a": 0, "b": 7 * time.Second} {
		b, err := f.Board(name)
		if err != nil {
			t.Fatal(err)
		}
		if b.FlasherBundle != "lab/bundle:1" || b.CycleWait != wait {
			t.Errorf("%s: bundle %q, cycle wait %v", name, b.FlasherBundle, b.CycleWait)
		}
		if _, err := b.Flasher(); err != nil {
			t.Error(err)
		}
	}
	for bad, says := range map[string]string{
		strings.Replace(text, "<<: *pdu", "<<: 3", 1):              "12:17: boards.b.power: must be a mapping",
		strings.Replace(text, "make: apc,", "meke: apc,", 1):       `4:43: boards.a.power.meke: unknown key "meke"; did you mean "make"?`,
		"boards: &b\n  a: {<<: *b}\n":                              "unknown key",
		"boards:\n  a: &a\n    <<: *a\n    serial: tcp://rack:1\n": "it merges itself",
		"x-a: &a {}\nx-b: &b {<<: [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]}\nx-c: &c {<<: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]}\n" +
			"x-d: &d {<<: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]}\nboards: {a: {<<: *d}}\n": "it merges more than 1000 mappings",
		strings.Replace(text, "x-lab: &lab", "lab: &lab", 1):                      `unknown key "lab"`,
		strings.Replace(text, "<<: [{cycle_wait: 7s}", "<<: [{cycle_wait: 7}", 1): "boards.b.cycle_wait",
	} {
		if _, err := config.Parse([]byte(strings.ReplaceAll(bad, "\n", "\n"))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

// TestVariables: one that is missing concerns the board that needs it, and what
// one holds is not shown.
func TestVariables(t *testing.T) {
	f, err := config.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Board("rpi"); !errors.Is(err, config.ErrNoVariable) || !strings.Contains(err.Error(), "RELAY_PASSWORD") {
		t.Errorf("got %v, want ErrNoVariable with its name", err)
	}
	for _, key := range []string{"flasher_bundle: x", "board: x"} { // both are what a board cannot be without
		text := strings.Replace("boards: {a: {KEY, serial: x, power: {type: command, on: a, off: b}}}", "KEY", strings.Replace(key, "x", `"${NO_BUNDLE}"`, 1), 1)
		f, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, err := f.Board("a"); !errors.Is(err, config.ErrNoVariable) || !strings.Contains(err.Error(), "NO_BUNDLE") {
			t.Errorf("%s: got %v, want ErrNoVariable", text, err)
		}
	}
	t.Setenv("RELAY_PASSWORD", "hunter2")
	if f, err = config.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	b, err := f.Board("rpi")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Flasher(); err != nil {
		t.Error(err)
	}
	_, err = config.Parse([]byte(replace("1500000", "${RELAY_PASSWORD}")))
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "RELAY_PASSWORD") {
		t.Errorf("got %v, want the name of the variable and not what it holds", err)
	}
}

// mySwitch is a power switch of somebody else's.
type mySwitch struct {
	Port int `yaml:"port"`
}

func (*mySwitch) On(context.Context) error  { return nil }
func (*mySwitch) Off(context.Context) error { return nil }

func ExampleWithPower() {
	const text = `
boards:
  bench:
    board: rcar-s4
    serial: /dev/ttyUSB0
    power: {type: our-rack, port: 7}
`
	ourRack := func(s config.Settings) (power.Controller, error) {
		sw := &mySwitch{}
		return sw, s.Decode(sw)
	}
	f, err := config.Parse([]byte(text), config.WithPower("our-rack", ourRack))
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := f.Board("bench")
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := b.Power()
	fmt.Println(p.(*mySwitch).Port, err)
	// Output: 7 <nil>
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(seedExporter))
	f.Add([]byte("boards: {a: {power: [}}"))
	f.Add([]byte("boards: {a: &a {serial: *a}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := config.Parse(data); err == nil && len(file.Names()) == 0 {
			t.Error("a file without boards was taken")
		}
	})
}

func ExampleParse() {
	f, err := config.Parse([]byte(good))
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := f.Board("ti-03")
	fmt.Println(b.DefaultTarget, err)
	// Output: emmc <nil>
}
