// Package config reads boards from a YAML file, and the exporter files of
// Jumpstarter.
//
//	boards:
//	  ti-03:
//	    flasher_bundle: quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest
//	    serial:
//	      url: /dev/serial/by-id/usb-FTDI_USB__-__Serial_Converter_112214101760A-if00-port0
//	      baudrate: 115200
//	    power:
//	      type: command
//	      on: relayctl 3 on
//	      off: relayctl 3 off
//
// # Keys of a board
//
//	board             name of a known board (bundle.KnownBoards), which gives
//	                  flasher_bundle, manifest and variant
//	flasher_bundle    what bundle.Open takes; required unless board gives it
//	serial            the console: a URL as in transport/serial, or a mapping of
//	                  type (default "url"), url and baudrate
//	power             the switch: a mapping of type and what that driver needs
//	cache_dir         where bundles and prepared images are kept; the default is
//	                  /var/lib/jumpstarter/flasher for bundles, and the user's
//	                  cache directory for images, and where the former cannot be
//	                  written
//	http_dir          where prepared images are kept instead of in cache_dir
//	tftp_dir          the directory of a TFTP daemon that runs already: kernel,
//	                  initramfs and DTB are put there for the time of a flash;
//	                  without it dutflash serves them itself
//	manifest          manifest in the bundle; the default is manifest.yaml
//	variant           DTB variant; the default is the manifest's
//	default_target    target where none is asked for; the default is the manifest's
//	cacert            file with the certificates that https servers of images are
//	                  trusted by, beside the system's
//	server_address    address of this host as the board sees it
//	load              how U-Boot gets kernel, initramfs and DTB: auto (the
//	                  default), tftp, http (its wget), or over the console
//	                  ymodem, xmodem or kermit
//	load_baud         baud rate for what goes over the console that way
//	tftp_server       address of a TFTP server that is not this host's
//	tftp_prefix       what its names begin with, such as lab/
//	http_port         port of the HTTP server; the default is any free one
//	bind_address      address of this host that the servers listen on
//	cycle_wait        how long the power stays off, such as 2s, the default
//	pace              characters per second that are typed, such as 200, where the
//	                  board loses some; the default is as fast as the line takes them
//	uboot             prompts (a list) and stop_key, where they are unusual
//
// The drivers are those of [DefaultDrivers], each with its keys there, and those
// that [WithPower] and [WithSerial] add. Values may refer to environment variables
// as ${NAME}, which is where secrets belong, within braces in quotes: "${NAME}"; "$$" is
// a dollar sign. A variable that is not set matters only to the board that refers to it.
// What several boards have in common is written once, by YAML's anchors and merge keys:
// "<<: *lab". A key at the top that begins with "x-" is for such an anchor, and for
// nothing else.
//
// # Exporter files
//
// A file that has the key export is an exporter configuration of Jumpstarter. Each
// of its flashers is a board of that name: a TIJ784S4Flasher and the others that
// bundle.KnownBoards lists, or any with a flasher_bundle. One within a Composite is
// named by the way to it, such as rack.storage. The children serial and power are
// found by ref, by a Proxy, or stand there themselves. Drivers that no flasher refers
// to are left alone. See [DefaultDrivers] for those that are known. As Jumpstarter
// does, nothing is put in for ${NAME} in such a file.
//
// What a flasher's own servers are told counts for ours: host and advertised_host of
// the children tftp and http are bind_address and server_address, the port of http is
// http_port, http_dir (or root_dir of http) is where prepared images are kept, and the
// prompt of a child uboot is one of uboot's prompts. tftp_dir is where Jumpstarter's
// own TFTP server looks for its files; ours serves them from cache_dir and needs none,
// so that tftp_dir means nothing here, unlike in a board file.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config/internal/fields"
	"github.com/dutflash/dutflash/power"
)

var (
	// ErrUnknownBoard: the file has no board of that name.
	ErrUnknownBoard = errors.New("unknown board")
	// ErrNoVariable: an environment variable that the board refers to is not set.
	ErrNoVariable = fields.ErrNoVariable
)

// File is a board file. It is read-only and may be used concurrently.
type File struct {
	boards map[string]*Board
}

// Board is one board of a file. It is read-only and may be used concurrently;
// what its methods return is new each time.
type Board struct {
	Name          string
	FlasherBundle string
	CacheDir      string
	HTTPDir       string
	TFTPDir       string
	Manifest      string
	Variant       string
	DefaultTarget string
	CACert        string
	BindAddress   string
	// CycleWait is how long the power stays off in a power cycle; 0 is the default.
	CycleWait time.Duration
	// PowerTimeout is the longest that one command to the power switch may take, the
	// wait of a power cycle apart: 30 s, or what the switch's own settings add up to.
	PowerTimeout time.Duration
	// HTTPPort is the port of the HTTP server, or 0 for any.
	HTTPPort int
	// Load is how U-Boot gets its files; LoadAuto where the file does not say.
	Load flasher.LoadMethod
	// TFTPServer is a TFTP server that is not this host's, or the zero value.
	TFTPServer netip.Addr

	settings boardFields
	open     func() (flasher.OpenConsole, error)
	power    func() (power.Controller, error)
	err      error // environment variables that are missing
}

// boardFields are the keys of a board.
type boardFields struct {
	Board         string        `yaml:"board"`
	FlasherBundle string        `yaml:"flasher_bundle"`
	Serial        yaml.Node     `yaml:"serial"`
	Power         yaml.Node     `yaml:"power"`
	CacheDir      string        `yaml:"cache_dir"`
	HTTPDir       string        `yaml:"http_dir"`
	TFTPDir       string        `yaml:"tftp_dir"`
	Manifest      string        `yaml:"manifest"`
	Variant       string        `yaml:"variant"`
	DefaultTarget string        `yaml:"default_target"`
	CACert        string        `yaml:"cacert"`
	ServerAddress netip.Addr    `yaml:"server_address"`
	BindAddress   netip.Addr    `yaml:"bind_address"`
	Load          loadMethod    `yaml:"load"`
	LoadBaud      int           `yaml:"load_baud" in:"50..12000000"`
	TFTPServer    netip.Addr    `yaml:"tftp_server"`
	TFTPPrefix    string        `yaml:"tftp_prefix"`
	HTTPPort      int           `yaml:"http_port" in:"0..65535"`
	CycleWait     time.Duration `yaml:"cycle_wait" in:"1ms.."`
	Pace          float64       `yaml:"pace" in:"1..1000000"`
	UBoot         ubootFields   `yaml:"uboot"`
}

type ubootFields struct {
	Prompts []text `yaml:"prompts"`
	StopKey text   `yaml:"stop_key"`
}

// text is one that is not empty where it is given.
type text string

func (t *text) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return errors.New("it is empty")
	}
	*t = text(b)
	return nil
}

// Load reads a board file from disk.
func Load(path string, opts ...Option) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("board file: %w", err)
	}
	f, err := Parse(data, opts...)
	if err != nil {
		return nil, fmt.Errorf("board file %s: %w", path, err)
	}
	return f, nil
}

// Parse reads a board file. All problems are reported, each with its line and
// column.
func Parse(data []byte, opts ...Option) (*File, error) {
	r := reader{drivers: DefaultDrivers(), known: bundle.KnownBoards(), log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		if err := opt(&r); err != nil {
			return nil, err
		}
	}
	root, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	pairs, errs := fields.Pairs(root, "")
	f := &File{boards: map[string]*Board{}}
	for _, p := range pairs {
		if p.Key == "export" {
			return f, errors.Join(append(errs, r.exporter(f, p)...)...)
		}
	}
	for _, p := range pairs {
		if strings.HasPrefix(p.Key, "x-") {
			continue
		}
		if p.Key != "boards" {
			errs = append(errs, fields.At(p.KeyNode, p.Path, fields.Unknown("key", p.Key, []string{"boards", "export"})))
			continue
		}
		boards, problems := fields.Pairs(p.Value, p.Path)
		errs = append(errs, problems...)
		for _, b := range boards {
			board, problems := r.board(b)
			f.boards[b.Key] = board
			errs = append(errs, problems...)
		}
	}
	if len(f.boards) == 0 && len(errs) == 0 {
		return nil, errors.New("it has no boards")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return f, nil
}

// parseYAML returns the top node of the only document.
func parseYAML(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, fmt.Errorf("%w%s", err, yamlHint(data, err))
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one YAML document")
	}
	return doc.Content[0], nil
}

// yamlHint is what is often the mistake where YAML is not understood.
func yamlHint(data []byte, err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "cannot start any token") && (bytes.HasPrefix(data, []byte("\t")) || bytes.Contains(data, []byte("\n\t"))):
		return " (YAML is indented with blanks and not with tabs)"
	case strings.Contains(text, "expected ',' or '}'") && bytes.Contains(data, []byte("${")):
		return ` (within braces, a value with a variable must be in quotes: {password: "${NAME}"})`
	case strings.Contains(text, "did not find expected key"):
		return " (is a line there, or below, indented more or less than its neighbours?)"
	}
	return ""
}

// Names returns the names of the boards, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.boards)) }

// Board returns a board by name. "" is the only board of a file that has one.
// Errors: [ErrUnknownBoard], [ErrNoVariable].
func (f *File) Board(name string) (*Board, error) {
	names := f.Names()
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	b, ok := f.boards[name]
	switch {
	case !ok && name == "":
		return nil, fmt.Errorf("%w: say which; the file has %s", ErrUnknownBoard, strings.Join(names, ", "))
	case !ok:
		return nil, fmt.Errorf("%w %q: the file has %s", ErrUnknownBoard, name, strings.Join(names, ", "))
	}
	return b, b.err
}
