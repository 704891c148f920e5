package config

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config/internal/fields"
	"github.com/dutflash/dutflash/power"
)

// Settings is a driver's part of a board file, without its type.
type Settings struct {
	node    *yaml.Node
	path    string
	literal bool // of an exporter file
	log     *slog.Logger
}

// Logger is what a driver tells what it tries again, such as a power.Switching: the one of
// [WithLogger], or one that is silent.
func (s Settings) Logger() *slog.Logger {
	if s.log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.log
}

// Decode decodes the settings into the struct that into points to, by its yaml
// tags. Environment variables are put in, but not in an exporter file. Unknown keys
// and values that do not fit are errors with line and column. A number or time
// may have a tag as well that bounds it, such as in:"1..255" or in:"0s..".
func (s Settings) Decode(into any) error {
	if s.literal {
		return fields.DecodeLiteral(s.node, s.path, into)
	}
	return fields.Decode(s.node, s.path, into)
}

// decodeKnown decodes those settings that into has a key for.
func (s Settings) decodeKnown(into any) {
	pairs, _ := fields.Pairs(s.node, s.path)
	for _, p := range pairs {
		one := yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{p.KeyNode, p.Value}}
		_ = Settings{&one, s.path, s.literal, s.log}.Decode(into) // others are not of interest
	}
}

// locate puts the place of the settings before an error that has none, or that of the
// key that the error begins with.
func (s Settings) locate(err error) error {
	var problem *fields.Problem
	if errors.As(err, &problem) {
		return err
	}
	key, _, _ := strings.Cut(err.Error(), ": ")
	pairs, _ := fields.Pairs(s.node, s.path) // their problems are told elsewhere
	for _, p := range pairs {
		if p.Key == key {
			return fields.At(p.Value, p.Path, ofKey{err, key})
		}
	}
	return fields.At(s.node, s.path, err)
}

// ofKey is an error without the key that it begins with.
type ofKey struct {
	error
	key string
}

func (e ofKey) Error() string { return strings.TrimPrefix(e.error.Error(), e.key+": ") }
func (e ofKey) Unwrap() error { return e.error }

// PowerDriver makes a power switch from its settings. It must not touch the
// device: it is called when a file is read, and again for each Flasher. A switch that
// holds something from its first command on is a [power.Releaser], and is released with
// its Flasher, or by who called [Board.Power].
type PowerDriver func(Settings) (power.Controller, error)

// SerialDriver makes what opens a console from its settings, under the same rule.
type SerialDriver func(Settings) (flasher.OpenConsole, error)

// Drivers are what the types in a file stand for: in board files by their short
// names, in exporter files by Jumpstarter's.
type Drivers struct {
	Power  map[string]PowerDriver
	Serial map[string]SerialDriver
}

// Option changes how a file is read.
type Option func(*reader) error

// WithPower adds a power driver, or replaces one: for a switch of one's own, under
// a name of one's own.
func WithPower(name string, d PowerDriver) Option {
	return func(r *reader) error {
		if name == "" || d == nil {
			return errors.New("WithPower: the name or the driver is missing")
		}
		r.drivers.Power[name] = d
		return nil
	}
}

// WithSerial adds or replaces a serial driver.
func WithSerial(name string, d SerialDriver) Option {
	return func(r *reader) error {
		if name == "" || d == nil {
			return errors.New("WithSerial: the name or the driver is missing")
		}
		r.drivers.Serial[name] = d
		return nil
	}
}

// WithLogger has the power switches of the boards tell log about commands that failed
// and were tried again. The default is silence. For a flash there is
// flasher.WithLogger as well.
func WithLogger(log *slog.Logger) Option {
	return func(r *reader) error {
		if log == nil {
			return errors.New("WithLogger: the logger is nil")
		}
		r.log = log
		return nil
	}
}

// WithKnownBoards has the key board, and the flashers of exporter files, look
// boards up here instead of in bundle.KnownBoards.
func WithKnownBoards(b bundle.Boards) Option {
	return func(r *reader) error {
		if b == nil {
			return errors.New("WithKnownBoards: the boards are nil")
		}
		r.known = b
		return nil
	}
}

// namesFor are the names that a person would look for: Jumpstarter's, which have dots,
// in exporter files only, and ours in board files only.
func namesFor[D any](exporter bool, drivers map[string]D) []string {
	return slices.DeleteFunc(names(drivers), func(name string) bool { return strings.Contains(name, ".driver.") != exporter })
}

func names[D any](drivers map[string]D) []string { return slices.Sorted(maps.Keys(drivers)) }

// decodeAs makes a driver of a function from a struct of settings.
func decodeAs[S, D any](make func(S) (D, error)) func(Settings) (D, error) {
	return func(s Settings) (D, error) {
		var values S
		if err := s.Decode(&values); err != nil {
			var none D
			return none, err
		}
		if l, ok := any(&values).(interface{ setLogger(*slog.Logger) }); ok {
			l.setLogger(s.Logger())
		}
		d, err := make(values)
		if err != nil {
			return d, s.locate(err)
		}
		return d, nil
	}
}

// required is an error that names the keys that have no value.
func required(pairs ...string) error {
	var missing []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			missing = append(missing, pairs[i])
		}
	}
	if missing == nil {
		return nil
	}
	return errors.New("it has no " + strings.Join(missing, " and no "))
}
