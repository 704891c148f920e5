package config

import (
	"errors"
	"regexp"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config/internal/fields"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/image"
	"github.com/dutflash/dutflash/uboot"
)

// option is one for the Flasher, and the key of a board file that it comes from.
type option struct {
	key string
	opt flasher.Option
}

// options are what the file says to a Flasher.
func (b *Board) options() []option {
	s := &b.settings
	opts := []option{
		{"power", flasher.WithTimeouts(flasher.Timeouts{Power: b.PowerTimeout})}, {"manifest", flasher.UseManifest(b.Manifest)},
		{"variant", flasher.UseDTBVariant(b.Variant)}, {"default_target", flasher.WithDefaultTarget(b.DefaultTarget)},
	}
	add := func(given bool, key string, use func() flasher.Option) {
		if given {
			opts = append(opts, option{key, use()})
		}
	}
	add(b.CacheDir != "", "cache_dir", func() flasher.Option { return flasher.WithCacheDir(b.CacheDir) })
	add(b.HTTPDir != "", "http_dir", func() flasher.Option { return flasher.WithPrepareOptions(image.WithCacheDir(b.HTTPDir)) })
	add(b.TFTPDir != "", "tftp_dir", func() flasher.Option { return flasher.WithTFTPDir(b.TFTPDir) })
	add(b.CACert != "", "cacert", func() flasher.Option { return flasher.WithSourceOptions(image.WithCAFile(b.CACert)) })
	add(s.ServerAddress.IsValid(), "server_address", func() flasher.Option { return flasher.WithServerAddress(s.ServerAddress) })
	add(s.BindAddress.IsValid(), "bind_address", func() flasher.Option { return flasher.WithBindAddress(s.BindAddress) })
	add(s.Pace != 0, "pace", func() flasher.Option {
		return flasher.WithConsoleOptions(console.WithPace(console.Pace{ChunkDelay: time.Duration(float64(time.Second) / s.Pace)}))
	})
	add(s.Load != "", "load", func() flasher.Option { return flasher.WithLoad(flasher.LoadMethod(s.Load)) })
	add(s.LoadBaud != 0, "load_baud", func() flasher.Option { return flasher.WithLoadBaud(s.LoadBaud) })
	add(s.TFTPServer.IsValid(), "tftp_server", func() flasher.Option { return flasher.WithTFTPServer(s.TFTPServer, "") })
	add(s.TFTPServer.IsValid() && s.TFTPPrefix != "", "tftp_prefix", func() flasher.Option { return flasher.WithTFTPServer(s.TFTPServer, s.TFTPPrefix) })
	add(s.HTTPPort != 0, "http_port", func() flasher.Option { return flasher.WithHTTPPort(s.HTTPPort) })
	add(s.CycleWait != 0, "cycle_wait", func() flasher.Option { return flasher.WithCycleWait(s.CycleWait) })
	add(len(s.UBoot.Prompts) > 0, "uboot", func() flasher.Option {
		var prompts []string
		for _, p := range s.UBoot.Prompts {
			prompts = append(prompts, string(p))
		}
		return flasher.WithUBootOptions(uboot.WithPrompts(prompts...))
	})
	add(s.UBoot.StopKey != "", "uboot", func() flasher.Option { return flasher.WithUBootOptions(uboot.WithStopKey(string(s.UBoot.StopKey))) })
	return opts
}

// checkOptions has a Flasher look at what the file says, and finds the keys that it
// does not take. What only does not go together is told of the board.
func (b *Board) checkOptions(board fields.Pair) (errs []error) {
	_, err := b.Flasher()
	if err == nil {
		return nil
	}
	open, openErr := b.open()
	pwr, powerErr := b.power()
	if err := errors.Join(openErr, powerErr); err != nil {
		return []error{fields.At(board.KeyNode, board.Path, err)}
	}
	if r, ok := pwr.(power.Releaser); ok { // which holds nothing yet
		defer r.Release()
	}
	told := map[string]bool{}
	for _, o := range b.options() {
		_, err := flasher.New(open, pwr, b.FlasherBundle, o.opt)
		if err == nil || told[err.Error()] {
			continue
		}
		told[err.Error()] = true
		at, path := fields.Find(board, o.key)
		errs = append(errs, fields.At(at, path, ofOption{err}))
	}
	if errs == nil {
		errs = append(errs, fields.At(board.KeyNode, board.Path, ofOption{err}))
	}
	return errs
}

// ofOption is an error of a Flasher's option, in the words of somebody who has a file
// before him.
type ofOption struct{ error }

var nameOfOption = regexp.MustCompile(`^new: check: bad configuration: (With\w+: )?`)

func (e ofOption) Error() string { return nameOfOption.ReplaceAllString(e.error.Error(), "") }
func (e ofOption) Unwrap() error { return e.error }
