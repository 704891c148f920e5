package config_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power"
)

// TestNumbers: a number that is out of range is told with its own line and column.
func TestNumbers(t *testing.T) {
	const rest = "\n  a:\n    flasher_bundle: x\n"
	board := "boards:" + rest + "    serial: tcp://rack:1\n    power: {type: command, on: a, off: b}\n    KEY: BAD\n"
	line := "boards:" + rest + "    power: {type: command, on: a, off: b}\n    serial:\n      url: /dev/ttyUSB0\n      KEY: BAD\n"
	power := func(settings string) string {
		return "boards:" + rest + "    serial: tcp://rack:1\n    power:\n      " + strings.ReplaceAll(settings, ", ", "\n      ") + "\n      KEY: BAD\n"
	}
	exporter := func(kind, settings string) string {
		return "export:\n  flash: {type: jumpstarter_driver_flashers.driver.TIJ784S4Flasher, children: {serial: {ref: serial}, power: {ref: power}}}\n" +
			"  serial: {type: jumpstarter_driver_pyserial.driver.PySerial, config: {url: /dev/ttyUSB0}}\n" +
			"  power:\n    type: " + kind + "\n    config:\n      " + strings.ReplaceAll(settings, ", ", "\n      ") + "\n      KEY: BAD\n"
	}
	console := func(kind, settings string) string {
		return "export:\n  flash: {type: jumpstarter_driver_flashers.driver.TIJ784S4Flasher, children: {serial: {ref: serial}, power: {ref: power}}}\n" +
			"  power: {type: jumpstarter_driver_yepkit.driver.Ykush, config: {serial: YK1}}\n" +
			"  serial:\n    type: " + kind + "\n    config:\n      " + settings + "\n      KEY: BAD\n"
	}
	for _, tc := range []struct {
		text string
		bad  map[string][]string // by key
	}{
		{board, map[string][]string{
			"load_baud": {"5", "0", "12000001"}, "http_port": {"-1", "70000"}, "cycle_wait": {"0s", "-5s"}, "pace": {".nan", ".inf", "0", "2e6"},
		}},
		{line, map[string][]string{"baudrate": {"0", "-9600", "99999999"}}},
		{power("type: command, on: a, off: b"), map[string][]string{"timeout": {"-1s"}}},
		{power("type: shelly, address: a"), map[string][]string{
			"channel": {"-1"}, "settle": {"-1s"}, "timeout": {"-1s"}, "tries": {"-1"}, "pause": {"-1s"},
		}},
		{power("type: relay, port: /dev/ttyUSB1"), map[string][]string{"relay": {"0", "256"}}},
		{power("type: relay, port: /dev/ttyUSB1, relay: 1"), map[string][]string{"parallel": {"[2, 300]"}}},
		{power("type: tasmota, address: a"), map[string][]string{"relay": {"0", "33"}}},
		{power("type: usbhub, hub: 1-1"), map[string][]string{"port": {"0", "256"}}},
		{power("type: snmp, address: a, make: apc"), map[string][]string{"outlet": {"0", "-1"}}},
		{power("type: ipmi, address: a, user: u"), map[string][]string{"cipher_suite": {"0", "18"}, "graceful": {"-1s"}}},
		{power("type: redfish, address: a, user: u"), map[string][]string{"graceful": {"-1s"}}},
		{power("type: gpio, chip: gpiochip0, line: 1, rescue_line: 2"), map[string][]string{"rescue_hold": {"-1s"}}},
		{exporter("jumpstarter_driver_gpiod.driver.PowerSwitch", "device: /dev/gpiochip0"), map[string][]string{"line": {"-1"}}},
		{exporter("jumpstarter_driver_noyito_relay.driver.NoyitoPowerSerial", "port: /dev/ttyUSB1"), map[string][]string{"channel": {"-1", "3"}}},
		{exporter("jumpstarter_driver_shell.driver.Shell", "methods: {on: a,off: b}"), map[string][]string{"timeout": {"-1"}}},
		{exporter("jumpstarter_driver_snmp.driver.SNMPServer", "host: a, user: u, plug: 1"), map[string][]string{"port": {"-1", "65536"}, "timeout": {"-1"}}},
		{exporter("jumpstarter_driver_snmp.driver.SNMPServer", "host: a, user: u"), map[string][]string{"plug": {"-1"}}},
		{exporter("jumpstarter_driver_tasmota.driver.TasmotaPower", "host: a, cmnd_topic: cmnd/a/POWER, stat_topic: stat/a/POWER"), map[string][]string{
			"port": {"-1", "65536"}, "timeout": {"-1"},
		}},
		{console("jumpstarter_driver_pyserial.driver.PySerial", "url: /dev/ttyUSB0"), map[string][]string{"baudrate": {"49", "-1"}, "cps": {"0", "-1"}}},
		{console("jumpstarter_driver_network.driver.TcpNetwork", "host: a"), map[string][]string{"port": {"0", "65536"}}},
	} {
		for key, values := range tc.bad {
			for _, bad := range values {
				text := strings.NewReplacer("KEY", key, "BAD", bad).Replace(tc.text)
				before, _, _ := strings.Cut(text, key+": "+bad)
				column := len(before) - strings.LastIndex(before, "\n") + len(key+": ")
				if list := strings.Index(bad, ", "); list > 0 {
					column += list + len(", ")
				}
				want := fmt.Sprintf("%d:%d: ", 1+strings.Count(before, "\n"), column)
				_, err := config.Parse([]byte(text))
				if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "."+key+": ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s\ngot  %v\nwant %s and the key", text, err, want)
				}
			}
		}
	}
}

// TestNumbersHaveRanges: no number of a file is without one, but those of which a
// device says what they mean.
func TestNumbersHaveRanges(t *testing.T) {
	free := map[string]bool{"value": true, "on": true, "off": true} // what an SNMP agent takes
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil {
				return true
			}
			switch kind := fmt.Sprint(field.Type); kind {
			case "int", "int64", "float64", "&{time Duration}":
			default:
				list, ok := field.Type.(*ast.ArrayType)
				if !ok || fmt.Sprint(list.Elt) != "int" {
					return true
				}
			}
			count++
			key := strings.Split(field.Tag.Value, `"`)[1]
			if !strings.Contains(field.Tag.Value, ` in:"`) && !free[key] {
				t.Errorf("%s: the number %s has no range", name, key)
			}
			return true
		})
	}
	if count < 30 {
		t.Errorf("%d numbers were found, there are more", count)
	}
}

// TestTagOfThirdParties: the tag of a driver that is not ours bounds its numbers, a tag
// that means something else is left alone, and a mistake in one is an error.
func TestTagOfThirdParties(t *testing.T) {
	decode := func(into any) error {
		const text = "boards:\n  a:\n    flasher_bundle: x\n    serial: tcp://rack:1\n    power:\n      type: mine\n      value: 7\n"
		_, err := config.Parse([]byte(text), config.WithPower("mine", func(s config.Settings) (power.Controller, error) {
			return &mySwitch{}, s.Decode(into)
		}))
		return err
	}
	for _, tc := range []struct {
		into any
		says string // "" is no error
	}{
		{&struct {
			Value string `yaml:"value" in:"query"`
		}{}, ""},
		{&struct {
			Value uint8 `yaml:"value" in:"1..8"`
		}{}, ""},
		{&struct {
			Value uint8 `yaml:"value" in:"8..9"`
		}{}, "7 is not from 8 to 9"},
		{&struct {
			Value string `yaml:"value" in:"1..8"`
		}{}, `tag in:"1..8" is no range of string`},
		{&struct {
			Value int `yaml:"value" in:"one..8"`
		}{}, `tag in:"one..8" is no range of int`},
	} {
		err := decode(tc.into)
		if (err == nil) != (tc.says == "") || err != nil && (!strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "7:14:")) {
			t.Errorf("%T: got %v, want %q", tc.into, err, tc.says)
		}
	}
}
