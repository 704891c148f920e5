package config

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config/internal/fields"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/redfish"
)

// reader is what a file is read with.
type reader struct {
	drivers Drivers
	known   bundle.Boards
	log     *slog.Logger
}

// board reads one board of a board file.
func (r *reader) board(p fields.Pair) (*Board, []error) {
	b := &Board{Name: p.Key}
	s := &b.settings
	var errs []error
	if err := fields.Decode(p.Value, p.Path, s); err != nil {
		errs = append(errs, err)
	}
	preset := bundle.Board{}
	if s.Board != "" {
		var err error
		if preset, err = r.known.Lookup(s.Board); err != nil {
			at, path := fields.Find(p, "board")
			errs = append(errs, fields.At(at, path, err))
		}
	}
	b.FlasherBundle = first(s.FlasherBundle, preset.Bundle)
	b.Manifest = first(s.Manifest, preset.Manifest)
	b.Variant = first(s.Variant, preset.Variant)
	b.CacheDir, b.HTTPDir, b.TFTPDir, b.DefaultTarget, b.CACert = s.CacheDir, s.HTTPDir, s.TFTPDir, s.DefaultTarget, s.CACert
	b.TFTPServer, b.Load, b.CycleWait, b.HTTPPort = s.TFTPServer, flasher.LoadAuto, s.CycleWait, s.HTTPPort
	if s.BindAddress.IsValid() {
		b.BindAddress = s.BindAddress.String()
	}
	if s.Load != "" {
		b.Load = flasher.LoadMethod(s.Load)
	}
	given := func(key string) bool { // also where its variable is not set
		at, path := fields.Find(p, key)
		return path != p.Path && at.Value != ""
	}
	for _, required := range []struct {
		key     string
		missing bool
	}{{"flasher_bundle", !given("flasher_bundle") && !given("board")}, {"serial", s.Serial.IsZero()}, {"power", s.Power.IsZero()}} {
		if required.missing {
			errs = append(errs, fields.At(p.KeyNode, p.Path, fmt.Errorf("it has no %s", required.key)))
		}
	}
	if !s.Serial.IsZero() {
		errs = append(errs, r.serial(b, &s.Serial, p.Path+".serial")...)
	}
	if !s.Power.IsZero() {
		errs = append(errs, r.power(b, &s.Power, p.Path+".power")...)
	}
	errs = append(errs, s.checkLoad(p)...)
	if len(errs) == 0 {
		errs = append(errs, b.checkOptions(p)...)
	}
	return b, b.postpone(errs)
}

// checkLoad finds keys that have no meaning beside the others, where they stand.
func (s *boardFields) checkLoad(board fields.Pair) (errs []error) {
	by := flasher.LoadMethod(first(string(s.Load), string(flasher.LoadAuto)))
	overTFTP := by == flasher.LoadAuto || by == flasher.LoadTFTP
	overConsole := by != flasher.LoadTFTP && by != flasher.LoadHTTP
	pairs, _ := fields.Pairs(board.Value, board.Path)
	for _, p := range pairs {
		var err error
		switch p.Key {
		case "tftp_dir", "tftp_server", "tftp_prefix":
			if !overTFTP {
				err = fmt.Errorf("it has no meaning with load: %s", by)
			} else if p.Key == "tftp_prefix" && !s.TFTPServer.IsValid() {
				err = errors.New("it is of no use without tftp_server")
			}
		case "load_baud":
			if !overConsole {
				err = fmt.Errorf("it has no meaning with load: %s", by)
			}
		}
		if err != nil {
			errs = append(errs, fields.At(p.KeyNode, p.Path, err))
		}
	}
	return errs
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// postpone keeps back the problems that matter only when the board is used.
func (b *Board) postpone(errs []error) (now []error) {
	for _, err := range errs {
		if errors.Is(err, ErrNoVariable) {
			b.err = errors.Join(b.err, err)
			continue
		}
		now = append(now, err)
	}
	return now
}

// serial finds the driver of a board's console and has it look at its settings.
func (r *reader) serial(b *Board, n *yaml.Node, path string) []error {
	kind := "url"
	if n.Kind != yaml.ScalarNode {
		at, rest, errs := takeType(n, path)
		if errs != nil {
			return errs
		}
		n = rest
		if at != nil {
			kind = at.Value
		}
		if _, ok := r.drivers.Serial[kind]; !ok {
			return []error{fields.At(at, path+".type", fields.Unknown("serial driver", kind, namesFor(false, r.drivers.Serial)))}
		}
	}
	driver := r.drivers.Serial[kind]
	s := Settings{node: n, path: path, log: r.log}
	b.open = func() (flasher.OpenConsole, error) { return driver(s) }
	if _, err := b.open(); err != nil {
		return []error{s.locate(err)}
	}
	return nil
}

// power does the same for the power switch.
func (r *reader) power(b *Board, n *yaml.Node, path string) []error {
	at, n, errs := takeType(n, path)
	if errs != nil {
		return errs
	}
	if at == nil || at.Value == "" {
		return []error{fields.At(n, path, fmt.Errorf("it has no type; known are %s", strings.Join(namesFor(false, r.drivers.Power), ", ")))}
	}
	kind := at.Value
	driver, ok := r.drivers.Power[kind]
	if !ok {
		return []error{fields.At(at, path+".type", fields.Unknown("power driver", kind, namesFor(false, r.drivers.Power)))}
	}
	s := Settings{node: n, path: path, log: r.log}
	b.power = func() (power.Controller, error) { return driver(s) }
	b.PowerTimeout = powerTimeout(kind, s)
	if _, err := b.power(); err != nil {
		return []error{s.locate(err)}
	}
	return nil
}

// How long one command to a switch may take that says nothing else: to most, and to
// those behind a management controller.
const (
	shortPower = 30 * time.Second
	longPower  = redfish.DefaultTimeout
)

// powerTimeout is how long one command may take by the settings of a switch: its
// tries, and what it waits for.
func powerTimeout(kind string, settings Settings) time.Duration {
	var s struct {
		switchingFields
		Graceful time.Duration `yaml:"graceful" in:"0s.."`
	}
	settings.decodeKnown(&s) // a value that does not fit is told by the driver
	d := shortPower
	if kind == "redfish" || kind == "ipmi" {
		d = longPower
	}
	if s.Timeout > 0 || s.Tries > 0 || s.Pause > 0 {
		one := s.Timeout
		if one <= 0 {
			one = min(d, power.DefaultTimeout)
		}
		tries, pause := s.Tries, s.Pause
		if tries <= 0 {
			tries = power.DefaultTries
		}
		if pause <= 0 {
			pause = power.DefaultPause
		}
		d = max(d, time.Duration(min(tries, 1000))*(one+pause))
	}
	return d + max(0, s.Graceful) + max(0, s.Settle)
}

// takeType takes the key type out of a mapping; kind is nil where it has none.
func takeType(n *yaml.Node, path string) (kind, rest *yaml.Node, errs []error) {
	pairs, errs := fields.Pairs(n, path)
	without := *n
	without.Content = nil
	for _, p := range pairs {
		if p.Key == "type" {
			kind = p.Value
			continue
		}
		without.Content = append(without.Content, p.KeyNode, p.Value)
	}
	return kind, &without, errs
}

// Power returns the board's power switch. One that is a [power.Releaser], as a GPIO line
// is, belongs to the caller, who releases it.
func (b *Board) Power() (power.Controller, error) { return b.power() }

// OpenConsole returns what opens the board's serial console.
func (b *Board) OpenConsole() (flasher.OpenConsole, error) { return b.open() }

// Flasher returns a Flasher for the board. Options come after what the file says. Its
// Close releases the power switch, where that is a [power.Releaser].
func (b *Board) Flasher(opts ...flasher.Option) (_ *flasher.Flasher, err error) {
	open, err := b.open()
	if err != nil {
		return nil, err
	}
	pwr, err := b.power()
	if err != nil {
		return nil, err
	}
	var own []flasher.Option
	for _, o := range b.options() {
		own = append(own, o.opt)
	}
	if r, ok := pwr.(power.Releaser); ok {
		own = append(own, flasher.WithCloser(released{r}))
		defer func() {
			if err != nil {
				err = errors.Join(err, r.Release())
			}
		}()
	}
	return flasher.New(open, pwr, b.FlasherBundle, append(own, opts...)...)
}

// released closes a switch.
type released struct{ power.Releaser }

func (r released) Close() error { return r.Release() }

// loadMethod is a flasher.LoadMethod that is checked where the file is read.
type loadMethod flasher.LoadMethod

// UnmarshalText makes a misspelt one an error with its place in the file.
func (l *loadMethod) UnmarshalText(text []byte) error {
	var known []string
	for _, m := range flasher.LoadMethods() {
		known = append(known, string(m))
	}
	if !slices.Contains(known, string(text)) {
		return fields.Unknown("load method", string(text), known)
	}
	*l = loadMethod(text)
	return nil
}
