// Package config reads boards from a YAML file:
//
//	boards:
//	  ti-03:
//	    console: /dev/serial/by-id/usb-FTDI_...-port0?baud=115200
//	    power:
//	      on: relayctl 3 on
//	      off: relayctl 3 off
//	    flasher_bundle: quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest
//	    cache_dir: /var/lib/jumpstarter/flasher   # optional
//	    manifest: manifest.yaml                   # optional
//	    variant: k3-j784s4-evm                    # optional
//	    default_target: emmc                      # optional
//
// console is what transport/serial opens; power runs a shell command for each
// action. Other kinds of power switch, environment variables in values and the
// exporter files of Jumpstarter are not read yet: their keys are errors.
package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/power/command"
	"github.com/dutflash/dutflash/transport/serial"
)

// ErrUnknownBoard: the file has no board of that name.
var ErrUnknownBoard = errors.New("unknown board")

// File is a board file.
type File struct {
	Boards map[string]Board `yaml:"boards"`
}

// Board is one board of a file.
type Board struct {
	Console       string `yaml:"console"`
	Power         Power  `yaml:"power"`
	FlasherBundle string `yaml:"flasher_bundle"`
	CacheDir      string `yaml:"cache_dir,omitempty"`
	Manifest      string `yaml:"manifest,omitempty"`
	Variant       string `yaml:"variant,omitempty"`
	DefaultTarget string `yaml:"default_target,omitempty"`
}

// Power is a shell command for each action.
type Power struct {
	On  string `yaml:"on"`
	Off string `yaml:"off"`
}

// Load reads a board file from disk.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("board file: %w", err)
	}
	f, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("board file %s: %w", path, err)
	}
	return f, nil
}

// Parse reads a board file. Errors say the line; all boards that lack something
// are named.
func Parse(data []byte) (*File, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var f File
	if err := dec.Decode(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, err
	}
	if len(f.Boards) == 0 {
		return nil, errors.New("it has no boards")
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(f.Boards)) {
		b := f.Boards[name]
		for _, required := range []struct{ key, value string }{
			{"console", b.Console}, {"power.on", b.Power.On}, {"power.off", b.Power.Off}, {"flasher_bundle", b.FlasherBundle},
		} {
			if required.value == "" {
				problems = append(problems, fmt.Errorf("board %q has no %s", name, required.key))
			}
		}
	}
	return &f, errors.Join(problems...)
}

// Board returns a board by name. "" is the only board of a file that has one.
func (f *File) Board(name string) (Board, error) {
	names := slices.Sorted(maps.Keys(f.Boards))
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	b, ok := f.Boards[name]
	if !ok {
		return Board{}, fmt.Errorf("%w %q: the file has %s", ErrUnknownBoard, name, strings.Join(names, ", "))
	}
	return b, nil
}

// Flasher returns a Flasher for the board. Options come after what the file says.
func (b Board) Flasher(opts ...flasher.Option) (*flasher.Flasher, error) {
	switchBy, err := command.New(command.Commands{On: b.Power.On, Off: b.Power.Off})
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context) (io.ReadWriteCloser, error) { return serial.Open(ctx, b.Console) }
	var own []flasher.Option
	if b.CacheDir != "" {
		own = append(own, flasher.WithCacheDir(b.CacheDir))
	}
	own = append(own, flasher.WithManifest(b.Manifest), flasher.WithVariant(b.Variant), flasher.WithDefaultTarget(b.DefaultTarget))
	return flasher.New(open, switchBy, b.FlasherBundle, append(own, opts...)...)
}
