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
	TFTPDir       string `yaml:"tftp_dir"` // of Jumpstarter's own TFTP server; ours needs none
	HTTPDir       string `yaml:"http_dir"`
	Variant       string `yaml:"variant"`
	Manifest      string `yaml:"manifest"`
	DefaultTarget string `yaml:"default_target"`
	CACert        string `yaml:"cacert"`
	LogLevel      string `yaml:"log_level"` // of the exporter's log
}

// Types of Jumpstarter that are no drivers of ours: the module of the flashers, what
// holds others, and what stands for another.
const (
	flashers  = "jumpstarter_driver_flashers.driver."
	composite = "jumpstarter_driver_composite.driver.Composite"
	proxy     = "jumpstarter_driver_composite.driver.Proxy"
)

// exporter reads the boards of an exporter file.
func (r *reader) exporter(f *File, export fields.Pair) []error {
	e := exporter{r, export}
	errs := e.boards(f, export.Value, export.Path, "", 0)
	if len(f.boards) == 0 && len(errs) == 0 {
		errs = append(errs, fields.At(export.KeyNode, export.Path, errors.New("no driver in it is a flasher ("+flashers+"...)")))
	}
	return errs
}

// exporter is the tree of drivers of a file.
type exporter struct {
	*reader
	root fields.Pair // what refs start at
}

// maxDepth is how many drivers may be within each other, or stand for each other.
const maxDepth = 20

// boards reads the flashers of a mapping of drivers, and those of the composites in
// it. prefix is what their names begin with.
func (e *exporter) boards(f *File, drivers *yaml.Node, path, prefix string, depth int) []error {
	pairs, errs := fields.Pairs(drivers, path)
	for _, p := range pairs {
		kind, children := typeOf(p)
		switch {
		case strings.HasPrefix(kind, flashers):
			b, problems := e.exported(p, kind)
			b.Name = prefix + p.Key
			f.boards[b.Name] = b
			errs = append(errs, problems...)
		case children.Value == nil || kind != "" && kind != composite:
		case depth == maxDepth:
			errs = append(errs, fields.At(p.KeyNode, p.Path, fmt.Errorf("it is within more than %d others", maxDepth)))
		default:
			errs = append(errs, e.boards(f, children.Value, children.Path, prefix+p.Key+".", depth+1)...)
		}
	}
	return errs
}

// typeOf returns the type of an entry and its children.
func typeOf(p fields.Pair) (kind string, children fields.Pair) {
	pairs, _ := fields.Pairs(p.Value, p.Path) // its problems are told where it is read
	for _, q := range pairs {
		switch q.Key {
		case "type":
			kind = q.Value.Value
		case "children":
			children = q
		}
	}
	return kind, children
}

// exported reads one flasher of an exporter file.
func (e *exporter) exported(p fields.Pair, kind string) (*Board, []error) {
	b := &Board{Load: flasher.LoadAuto}
	var d driver
	var s flasherFields
	var errs []error
	if err := fields.DecodeLiteral(p.Value, p.Path, &d); err != nil {
		errs = append(errs, err)
	}
	if err := fields.DecodeLiteral(&d.Config, p.Path+".config", &s); err != nil {
		errs = append(errs, err)
	}
	preset, err := e.known.Lookup(kind)
	if err != nil && s.FlasherBundle == "" {
		at, path := fields.Find(p, "type")
		errs = append(errs, fields.At(at, path, fmt.Errorf("%w; give it a flasher_bundle", err)))
	}
	b.FlasherBundle = first(s.FlasherBundle, preset.Bundle)
	b.Manifest, b.Variant = first(s.Manifest, preset.Manifest), first(s.Variant, preset.Variant)
	b.CacheDir, b.HTTPDir, b.DefaultTarget, b.CACert = s.CacheDir, s.HTTPDir, s.DefaultTarget, s.CACert
	for _, name := range []string{"serial", "power"} {
		if _, ok := d.Children[name]; !ok {
			at, path := fields.Find(p, "children")
			errs = append(errs, fields.At(at, path, fmt.Errorf("it has no %s", name)))
		}
	}
	for _, name := range names(d.Children) {
		n := d.Children[name]
		c, err := e.child(&n, p.Path+".children."+name)
		if err == nil {
			err = e.adopt(b, name, c)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, b.checkOptions(p)...)
	}
	return b, b.postpone(errs)
}

// adopt takes what a child of a flasher says.
func (e *exporter) adopt(b *Board, name string, c found) error {
	switch name {
	case "serial":
		open, ok := e.drivers.Serial[c.kind]
		if !ok {
			return fields.At(c.at, c.path, fields.Unknown("serial driver", c.kind, namesFor(true, e.drivers.Serial)))
		}
		b.open = func() (flasher.OpenConsole, error) { return open(c.settings) }
		if _, err := b.open(); err != nil {
			return c.settings.locate(err)
		}
		if c.kind == pySerial {
			var s pySerialSettings
			err := c.settings.Decode(&s)
			b.settings.Pace = s.CPS
			return err
		}
		return nil
	case "power":
		pwr, ok := e.drivers.Power[c.kind]
		if !ok {
			return fields.At(c.at, c.path, fields.Unknown("power driver", c.kind, namesFor(true, e.drivers.Power)))
		}
		b.power = func() (power.Controller, error) { return pwr(c.settings) }
		b.PowerTimeout = shortPower
		if c.kind == shellDriver {
			b.PowerTimeout = shellLimit(c.settings)
		}
		if _, err := b.power(); err != nil {
			return c.settings.locate(err)
		}
		return nil
	}
	use, ok := services()[name]
	if !ok {
		return fields.At(c.at, c.path, fields.Unknown("child of a flasher", name, append(names(services()), "serial", "power")))
	}
	return use(b, c)
}

// found is a driver, wherever it was described.
type found struct {
	kind     string
	at       *yaml.Node
	path     string
	settings Settings
}

// child finds a driver: in its place, or by a ref or a Proxy somewhere else.
func (e *exporter) child(at *yaml.Node, path string) (found, error) {
	for range maxDepth {
		var d driver
		if err := fields.DecodeLiteral(at, path, &d); err != nil {
			return found{}, err
		}
		ref := d.Ref
		if d.Type == proxy {
			var s struct {
				Ref      string `yaml:"ref"`
				LogLevel string `yaml:"log_level"`
			}
			if err := fields.DecodeLiteral(&d.Config, path+".config", &s); err != nil {
				return found{}, err
			}
			ref = s.Ref
		}
		if ref == "" && d.Type != proxy {
			config := d.Config
			if config.IsZero() {
				config = yaml.Node{Kind: yaml.MappingNode, Line: at.Line, Column: at.Column}
			}
			return found{d.Type, at, path, Settings{withoutLogLevel(&config), path + ".config", true, e.log}}, nil
		}
		p, err := e.find(ref)
		if err != nil {
			where, path := fields.Find(fields.Pair{KeyNode: at, Value: at, Path: path}, "ref")
			return found{}, fields.At(where, path, err)
		}
		at, path = p.Value, p.Path
	}
	return found{}, fields.At(at, path, errors.New("its ref leads to itself"))
}

// find follows a ref, such as power or rack.power, from the top.
func (e *exporter) find(ref string) (fields.Pair, error) {
	at := e.root
	for i, name := range strings.Split(ref, ".") {
		drivers := at
		if i > 0 {
			_, drivers = typeOf(at)
		}
		var pairs []fields.Pair
		if drivers.Value != nil {
			pairs, _ = fields.Pairs(drivers.Value, drivers.Path) // its problems are told elsewhere
		}
		known, ok := map[string]bool{}, false
		for _, p := range pairs {
			known[p.Key] = true
			if p.Key == name {
				at, ok = p, true
			}
		}
		if !ok {
			return at, fields.Unknown("driver", ref, names(known))
		}
	}
	return at, nil
}

// withoutLogLevel takes the log_level out that every driver of Jumpstarter may have:
// it is for the log of the exporter.
func withoutLogLevel(config *yaml.Node) *yaml.Node {
	if config.Kind != yaml.MappingNode {
		return config
	}
	rest := *config
	rest.Content = nil
	for i := 0; i+1 < len(config.Content); i += 2 {
		if config.Content[i].Value != "log_level" {
			rest.Content = append(rest.Content, config.Content[i], config.Content[i+1])
		}
	}
	return &rest
}
