package config

import (
	"fmt"
	"strings"

	"github.com/dutflash/dutflash/flasher/config/internal/fields"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/snmp"
)

type snmpSettings struct {
	switchingFields
	Address   string      `yaml:"address"`
	Make      string      `yaml:"make"`
	Outlet    int         `yaml:"outlet" in:"1.."`
	On        snmpCommand `yaml:"on"`
	Off       snmpCommand `yaml:"off"`
	State     snmpState   `yaml:"state"`
	Version   string      `yaml:"version"`
	Community string      `yaml:"community"`
	User      string      `yaml:"user"`
	Auth      string      `yaml:"auth"`
	AuthKey   string      `yaml:"auth_key"`
	Priv      string      `yaml:"priv"`
	PrivKey   string      `yaml:"priv_key"`
}

type snmpCommand struct {
	OID   string `yaml:"oid"`
	Value int    `yaml:"value"`
}

type snmpState struct {
	OID string `yaml:"oid"`
	On  int    `yaml:"on"`
	Off int    `yaml:"off"`
}

// outlets are the makes of PDUs that are known.
func outlets() map[string]func(int) snmp.Outlet {
	return map[string]func(int) snmp.Outlet{
		"apc": snmp.APC, "apc-masterswitch": snmp.APCMasterSwitch, "apc-rpdu2": snmp.APCRackPDU2, "cyberpower": snmp.CyberPower,
		"eaton": snmp.Eaton, "raritan": snmp.Raritan, "servertech": snmp.ServerTech,
	}
}

// outlet is that of a make, or one that is described.
func (s snmpSettings) outlet() (snmp.Outlet, error) {
	if s.Make == "" && (s.On.OID != "" || s.Off.OID != "") {
		o := snmp.Outlet{
			On: snmp.Command(s.On), Off: snmp.Command(s.Off),
			StateOID: s.State.OID, StateOn: s.State.On, StateOff: s.State.Off,
		}
		if s.Outlet != 0 {
			o.Name = fmt.Sprint("outlet ", s.Outlet)
		}
		return o, nil
	}
	if s.Make != "" && (s.On != (snmpCommand{}) || s.Off != (snmpCommand{}) || s.State != (snmpState{})) {
		return snmp.Outlet{}, fmt.Errorf("make: %q is known; on, off and state are for PDUs that are not", s.Make)
	}
	if s.Make == "" {
		return snmp.Outlet{}, fmt.Errorf("it has no make; known are %s; for another PDU say on and off in its place", strings.Join(names(outlets()), ", "))
	}
	outlet, ok := outlets()[s.Make]
	if !ok {
		return snmp.Outlet{}, fmt.Errorf("make: %w", fields.Unknown("make of PDU", s.Make, names(outlets())))
	}
	if s.Outlet == 0 {
		return snmp.Outlet{}, required("outlet", "")
	}
	return outlet(s.Outlet), nil
}

func newSNMP(s snmpSettings) (power.Controller, error) {
	outlet, err := s.outlet()
	if err != nil {
		return nil, err
	}
	opts := []snmp.Option{snmp.WithSwitching(s.switching())}
	switch s.Version {
	case "1", "", "2c":
		if err := required("community", s.Community); err != nil {
			return nil, err
		}
	}
	switch s.Version {
	case "1":
		opts = append(opts, snmp.WithV1(s.Community))
	case "", "2c":
		opts = append(opts, snmp.WithV2c(s.Community))
	case "3":
		opts = append(opts, snmp.WithV3(snmp.User{Name: s.User, Auth: s.Auth, AuthPassphrase: s.AuthKey, Privacy: s.Priv, PrivacyPassphrase: s.PrivKey}))
	default:
		return nil, fmt.Errorf("version: %q is none of 1, 2c and 3", s.Version)
	}
	return snmp.New(s.Address, outlet, opts...)
}
