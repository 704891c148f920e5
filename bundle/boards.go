package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Board is a preset: what to open for a board that is known by name.
type Board struct {
	Name     string // as in the manifest of its bundle
	Title    string // for people
	Bundle   string // reference for [Open]
	Manifest string // manifest in the bundle, "" for manifest.yaml
	Variant  string // DTB variant, "" for the manifest's default
	// Drivers are the names of Jumpstarter's flasher drivers for the board, so
	// that an exporter configuration leads here too.
	Drivers []string
}

// Boards are presets by name. It is a plain map: add to it, or replace, what
// your lab has. It may be read concurrently while nobody changes it.
type Boards map[string]Board

// KnownBoards returns a new map of the boards that Jumpstarter publishes
// flasher bundles for. Changing it changes nothing for other callers.
func KnownBoards() Boards {
	return Boards{
		"ti-j784s4": {
			Name: "ti-j784s4", Title: "Texas Instruments J784S4 EVM",
			Bundle:  "quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest",
			Drivers: []string{"TIJ784S4Flasher"},
		},
		"rcar-s4": {
			Name: "rcar-s4", Title: "Renesas R-Car S4",
			Bundle:  "quay.io/jumpstarter-dev/jumpstarter-flasher-rcar-s4:latest",
			Drivers: []string{"RCarS4Flasher"},
		},
	}
}

// Names returns the names of the boards, sorted.
func (b Boards) Names() []string { return slices.Sorted(maps.Keys(b)) }

// Lookup finds a board by its name or by the name of its Jumpstarter driver
// ("TIJ784S4Flasher", also with the Python module in front). Case and
// punctuation make no difference, unless that would make two boards fit. An
// unknown name is an error that matches [ErrUnknownBoard] and lists the known.
func (b Boards) Lookup(name string) (Board, error) {
	if board, ok := b[name]; ok {
		return board, nil
	}
	want := squash(name[strings.LastIndexByte(name, '.')+1:])
	var found []string
	for _, key := range b.Names() {
		fits := squash(key) == want
		for _, d := range b[key].Drivers {
			fits = fits || squash(d) == want
		}
		if fits && want != "" {
			found = append(found, key)
		}
	}
	switch len(found) {
	case 1:
		return b[found[0]], nil
	case 0:
		return Board{}, fmt.Errorf("%w %q; known are %s", ErrUnknownBoard, name, list(b.Names()))
	}
	return Board{}, fmt.Errorf("%w %q: it could be any of %s", ErrUnknownBoard, name, list(found))
}

// squash keeps letters and digits, in lower case.
func squash(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}
