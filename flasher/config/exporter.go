package config

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config/internal/fields"
	"github.com/dutflash/dutflash/power"
)

// driver is an entry of an exporter file.
type driver struct {
	Type     string               `yaml:"type"`
	Config   yaml.Node            `yaml:"config"`
	Children map[string]yaml.Node `yaml:"children"`
	// Ref names another entry, in place of the rest.
	Ref         string    `yaml:"ref"`
	Description string    `yaml:"description"`
	Methods     yaml.Node `yaml:"methods_description"`
}

// flasherFields are the config parameters of Jumpstarter's flasher drivers.
type flasherFields struct {
	FlasherBundle string `yaml:"flasher_bundle"`
	CacheDir      string `yaml:"cache_dir"`
	TFTPDir       string `yaml:"tftp_dir"`
	HTTPDir       string `yaml:"http_dir"`
	Variant       string `yaml:"variant"`
	Manifest      string `yaml:"manifest"`
	DefaultTarget string `yaml:"default_target"`
	CACert        string `yaml:"cacert"`
}

// flashers is the Python module of Jumpstarter's flasher drivers.
const flashers = "jumpstarter_driver_flashers.driver."

// exporter reads the boards of an exporter file.
func (r *reader) exporter(f *File, export fields.Pair) []error {
	pairs, errs := fields.Pairs(export.Value, export.Path)
	entries := map[string]fields.Pair{}
	for _, p := range pairs {
		entries[p.Key] = p
	}
	for _, p := range pairs {
		if kind := typeOf(p.Value); strings.HasPrefix(kind, flashers) {
			b, problems := r.exported(p, kind, entries)
			f.boards[p.Key] = b
			errs = append(errs, problems...)
		}
	}
	if len(f.boards) == 0 && len(errs) == 0 {
		errs = append(errs, fields.At(export.KeyNode, export.Path, errors.New("no driver in it is a flasher ("+flashers+"...)")))
	}
	return errs
}

func typeOf(n *yaml.Node) string {
	kind, _, _ := takeType(n, "", "")
	return kind
}

// exported reads one flasher of an exporter file.
func (r *reader) exported(p fields.Pair, kind string, entries map[string]fields.Pair) (*Board, []error) {
	b := &Board{Name: p.Key}
	var d driver
	var s flasherFields
	var errs []error
	if err := fields.Decode(p.Value, p.Path, &d); err != nil {
		errs = append(errs, err)
	}
	if err := fields.Decode(&d.Config, p.Path+".config", &s); err != nil {
		errs = append(errs, err)
	}
	preset, err := r.known.Lookup(kind)
	if err != nil && s.FlasherBundle == "" {
		errs = append(errs, fields.At(p.KeyNode, p.Path+".type", fmt.Errorf("%w; give it a flasher_bundle", err)))
	}
	b.FlasherBundle = first(s.FlasherBundle, preset.Bundle)
	b.Manifest, b.Variant = first(s.Manifest, preset.Manifest), first(s.Variant, preset.Variant)
	b.CacheDir, b.HTTPDir, b.TFTPDir, b.DefaultTarget, b.CACert = s.CacheDir, s.HTTPDir, s.TFTPDir, s.DefaultTarget, s.CACert
	for _, name := range names(d.Children) {
		if name != "serial" && name != "power" {
			n := d.Children[name]
			errs = append(errs, fields.At(&n, p.Path+".children."+name,
				errors.New("dutflash has servers of its own, and cannot use this one; take it out")))
		}
	}
	if c, err := child(p, d, "serial", entries); err != nil {
		errs = append(errs, err)
	} else if open, ok := r.drivers.Serial[c.kind]; !ok {
		errs = append(errs, fields.At(c.at, c.path, fields.Unknown("serial driver", c.kind, names(r.drivers.Serial))))
	} else {
		b.open = func() (flasher.OpenConsole, error) { return open(c.settings) }
		if _, err := b.open(); err != nil {
			errs = append(errs, c.settings.locate(err))
		}
	}
	if c, err := child(p, d, "power", entries); err != nil {
		errs = append(errs, err)
	} else if pwr, ok := r.drivers.Power[c.kind]; !ok {
		errs = append(errs, fields.At(c.at, c.path, fields.Unknown("power driver", c.kind, names(r.drivers.Power))))
	} else {
		b.power = func() (power.Controller, error) { return pwr(c.settings) }
		if _, err := b.power(); err != nil {
			errs = append(errs, c.settings.locate(err))
		}
	}
	return b, b.postpone(errs)
}

// found is a child driver, wherever it was described.
type found struct {
	kind     string
	at       *yaml.Node
	path     string
	settings Settings
}

// child finds a child of a driver: by its ref among the entries of the file, or
// in its place.
func child(p fields.Pair, d driver, name string, entries map[string]fields.Pair) (found, error) {
	n, ok := d.Children[name]
	if !ok {
		return found{}, fields.At(p.KeyNode, p.Path+".children", fmt.Errorf("it has no %s", name))
	}
	at, path := &n, p.Path+".children."+name
	var c driver
	if err := fields.Decode(at, path, &c); err != nil {
		return found{}, err
	}
	if c.Ref != "" {
		entry, ok := entries[c.Ref]
		if !ok {
			return found{}, fields.At(at, path+".ref", fields.Unknown("driver", c.Ref, names(entries)))
		}
		at, path, c = entry.Value, entry.Path, driver{}
		if err := fields.Decode(at, path, &c); err != nil {
			return found{}, err
		}
	}
	config := c.Config
	if config.IsZero() {
		config = yaml.Node{Kind: yaml.MappingNode, Line: at.Line, Column: at.Column}
	}
	return found{c.Type, at, path, Settings{&config, path + ".config"}}, nil
}
