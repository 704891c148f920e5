package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/config"
)

// TestPowerDrivers gives each driver what it needs, and what it cannot take.
func TestPowerDrivers(t *testing.T) {
	for _, tc := range []struct{ power, says string }{
		{"{type: command, on: a, off: b}", ""},
		{"{type: gpio, chip: gpiochip0, line: RELAY1, active_low: true, settle: 500ms}", ""},
		{"{type: gpio, line: 3}", "gpio"},
		{"{type: gpio, chip: gpiochip0, line: 3, drive: open-drain, bias: pull-up, rescue_line: 4, rescue_hold: 1s}", ""},
		{"{type: gpio, chip: gpiochip0, line: 3, bias: pull-down, rescue_line: 3, rescue_chip: gpiochip1}", ""},
		{"{type: gpio, chip: gpiochip0, line: 3, rescue_line: 3}", "the same line"},
		{"{type: gpio, chip: gpiochip0, line: 3, rescue_hold: 1s}", "rescue_line: is required"},
		{"{type: gpio, chip: gpiochip0, line: 3, drive: open}", `unknown drive "open"`},
		{"{type: gpio, chip: gpiochip0, line: 3, bias: up}", `unknown bias "up"`},
		{"{type: command, on: a, off: b, state: c, rescue: d, timeout: 1m}", ""},
		{"{type: command, on: a, off: b, timeout: -1m}", "timeout: -1m0s is less than 0s"},
		{"{type: http, on: {url: http://s/on}, off: {url: http://s/off}, read: {url: http://s, watts: a.0}, user: u, password: p, digest: true}", ""},
		{"{type: http, on: {url: http://s/on}, off: {url: http://s/off}, read: {url: http://s}}", "no value to look for"},
		{"{type: http, on: {url: http://s/on}, off: {url: http://s/off}, state: {on: x, off: y}}", "the URL for state"},
		{"{type: http, on: {url: http://s/on}, off: {url: http://s/off}, password: p}", "and no user"},
		{"{type: http, on: {url: http://s/on}, off: {method: POST, url: http://s/off, body: x}, state: {url: http://s, on: ON, off: OFF}, user: u, password: p}", ""},
		{"{type: http, on: {url: http://s/on}}", "http"},
		{"{type: http, on: {url: http://s/on}, off: {url: http://s/off}, cacert: none.pem}", "cacert: open none.pem"},
		{"{type: manual, board: left one}", ""},
		{"{type: ipmi, address: bmc7, user: u, password: p, operator: true, cipher_suite: 3, graceful: 20s, power_cycle: true, settle: 1s}", ""},
		{"{type: ipmi, address: bmc7, password: p}", "a password and no user"},
		{"{type: ipmi}", "the address is neither HOST nor HOST:PORT"},
		{"{type: ipmi, address: bmc7, cipher_suite: 18}", "cipher_suite: 18 is not from 1 to 17"},
		{"{type: ipmi, address: bmc7, graceful: -1s}", "graceful: -1s is less than 0s"},
		{"{type: qemu, qmp: unix:/run/b.qmp}", ""},
		{"{type: qemu}", "qemu"},
		{"{type: redfish, address: bmc7, system: 437XR1138R2, user: u, password: p, session: true, graceful: 20s, power_cycle: true, insecure_tls: true, settle: 1s}", ""},
		{"{type: redfish, address: bmc7, session: true}", "the login has no user"},
		{"{type: redfish, address: bmc7, password: p}", "a password and no user"},
		{"{type: redfish, address: ftp://bmc7}", "address"},
		{"{type: redfish, address: bmc7, cacert: none.pem}", "cacert: open none.pem"},
		{"{type: redfish, address: bmc7, user: u, graceful: -1s}", "graceful: -1s is less than 0s"},
		{"{type: relay, port: /dev/ttyUSB1, relay: 2}", ""},
		{"{type: relay, port: /dev/ttyUSB1, relay: 0}", "relay"},
		{"{type: relay, port: /dev/ttyUSB1, relay: 1, parallel: [2, 3], status: true, tries: 5, timeout: 2s, pause: 1s, unverified: true}", ""},
		{"{type: relay, port: /dev/ttyUSB1, relay: 1, parallel: [1]}", "relay 1 is named twice"},
		{"{type: relay, port: /dev/ttyUSB1, relay: 1, tries: -1}", "tries: -1 is less than 0"},
		{"{type: shelly, address: 10.0.0.9, channel: 1, user: admin, password: p}", ""},
		{"{type: shelly}", "shelly"},
		{"{type: snmp, address: pdu, make: apc, outlet: 4, community: private}", ""},
		{"{type: snmp, address: pdu, make: raritan, outlet: 4, version: 3, user: lab, auth: SHA, auth_key: 12345678}", ""},
		{"{type: snmp, address: pdu, make: apx, outlet: 4}", `make: unknown make of PDU "apx"; did you mean "apc"?`},
		{"{type: snmp, address: pdu, make: apc, outlet: 4, version: 4}", `version: "4" is none of 1, 2c and 3`},
		{"{type: snmp, address: pdu, community: c, on: {oid: 1.3.6.1.4.1.9.1, value: 1}, off: {oid: 1.3.6.1.4.1.9.1, value: 2}, state: {oid: 1.3.6.1.4.1.9.2, on: 1, off: 2}}", ""},
		{"{type: snmp, address: pdu, community: c, on: {oid: 1.3.6.1.4.1.9.1, value: 1}}", "the object for off"},
		{"{type: snmp, address: pdu, community: c, make: apc, outlet: 1, state: {oid: 1.3.6.1}}", `make: "apc" is known`},
		{"{type: tasmota, broker: b, topic: plug3, cacert: none.pem}", "cacert: open none.pem"},
		{"{type: ykush, serial: YK1, port: all}", ""},
		{"{type: ykush, serial: YK1, port: 10}", `port: "10" is neither`},
		{"{type: tasmota, address: 10.0.0.9}", ""},
		{"{type: tasmota, broker: mqtt://b, topic: plug3}", ""},
		{"{type: tasmota, address: 10.0.0.9, broker: mqtt://b}", "it needs an address (HTTP), or a broker and a topic (MQTT)"},
		{"{type: usbhub, hub: 1-1.4, port: 2, without_peer: true, settle: 1s}", ""},
		{"{type: usbhub, hub: the blue one, port: 2}", `hub "the blue one" is no location`},
		{"{type: usbhub, hub: 1-1.4}", "port 0 is not from 1 to 255"},
		{"{type: ykush, serial: YK112233, port: 1}", ""},
		{"{type: ykush, serial: YK112233, port: 9}", "port"},
		{"{type: ykush, serial: YK112233, prot: 1}", `unknown key "prot"; did you mean "port"?`},
	} {
		t.Run(tc.power, func(t *testing.T) {
			_, err := config.Parse(fmt.Appendf(nil, "boards:\n  a:\n    board: rcar-s4\n    serial: /dev/ttyUSB0\n    power: %s\n", tc.power))
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

func TestExporterPowerDrivers(t *testing.T) {
	for _, tc := range []struct{ kind, config, says string }{
		{"snmp.driver.SNMPServer", `{host: pdu.mgmt.com, user: labuser, plug: 32, port: 161, oid: "1.3.6.1.4.1.13742.6.4.1.2.1.2.1", auth_protocol: NONE, auth_key: null, priv_protocol: NONE, priv_key: null, timeout: 5.0}`, ""},
		{"snmp.driver.SNMPServer", `{host: pdu, user: u, plug: 3, oid: ".1.3.6.1.4.1.1", auth_protocol: SHA, auth_key: 12345678}`, ""},
		{"snmp.driver.SNMPServer", `{user: u}`, "it has no host"},
		{"tasmota.driver.TasmotaPower", `{host: b, port: 8883, cmnd_topic: cmnd/tasmota_1/POWER, stat_topic: stat/tasmota_1/POWER, username: u, password: p}`, ""},
		{"tasmota.driver.TasmotaPower", `{host: b, tls: false, cmnd_topic: cmnd/rack7/POWER2, stat_topic: s}`, ""},
		{"tasmota.driver.TasmotaPower", `{host: b, cmnd_topic: rack, stat_topic: s}`, `cmnd_topic: "rack" is not cmnd/TOPIC/POWER`},
		{"tasmota.driver.TasmotaPower", `{host: b, transport: websockets, cmnd_topic: cmnd/a/POWER, stat_topic: s}`, "only tcp"},
		{"http_power.driver.HttpPower", `{name: plug, power_on: {url: "http://p/on"}, power_off: {url: "http://p/off", method: POST}, auth: {basic: {user: u, password: p}}}`, ""},
		{"http_power.driver.HttpPower", `{power_on: {url: "http://p/on"}}`, "need a url each"},
		{"http_power.driver.HttpPower", `{power_on: {url: "http://p/on"}, power_off: {url: "http://p/off"}, power_read: {url: "http://p/r", voltage_path: a.b}, auth: {digest: {user: u, password: p}}}`, ""},
		{"http_power.driver.HttpPower", `{power_on: {url: "http://p/on"}, power_off: {url: "http://p/off"}, auth: {basic: {user: u}, digest: {user: u}}}`, "exclude each other"},
		{"yepkit.driver.Ykush", `{serial: YK1, port: all, default: keep}`, ""},
		{"yepkit.driver.Ykush", `{default: "off"}`, ""},
		{"yepkit.driver.Ykush", `{serial: YK1, port: "4"}`, "port 4 is not from 1 to 3"},
		{"gpiod.driver.PowerSwitch", `{line: 18, mode: "push_pull", active_low: false, bias: "pull_up", initial_value: "inactive"}`, ""},
		{"gpiod.driver.DigitalOutput", `{device: 2, line: 3, drive: open_drain, bias: disabled, initial_value: true}`, ""},
		{"gpiod.driver.DigitalOutput", `{line: 3, drive: strong}`, `unknown drive "strong"`},
		{"noyito_relay.driver.NoyitoPowerSerial", `{port: /dev/ttyUSB0}`, ""},
		{"noyito_relay.driver.NoyitoPowerSerial", `{port: /dev/ttyUSB0, channel: 3}`, "channel: 3 is not from 1 to 2"},
		{"noyito_relay.driver.NoyitoPowerHID", `{}`, `unknown power driver "jumpstarter_driver_noyito_relay.driver.NoyitoPowerHID"`},
		{"power.driver.MockPower", `{}`, `unknown power driver "jumpstarter_driver_power.driver.MockPower"`},
		{"shell.driver.Shell", `{methods: {on: a}}`, "it has no methods.off"},
		{"shell.driver.Shell", `{methods: {on: a, off: {comand: b}}}`, `methods.off.comand: unknown key "comand"; did you mean "command"?`},
		{"shell.driver.Shell", `{methods: {on: "", off: b}}`, "it has no methods.on"},
	} {
		t.Run(tc.kind+" "+tc.says, func(t *testing.T) {
			text := strings.Replace(seedExporter, "jumpstarter_driver_yepkit.driver.Ykush", "jumpstarter_driver_"+tc.kind, 1)
			text = text[:strings.LastIndex(text, "    config:")] + "    config: " + tc.config + "\n"
			_, err := config.Parse([]byte(text))
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}
