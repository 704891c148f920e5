package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dutflash/dutflash/flasher/config/internal/fields"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/gpio"
)

type gpioSettings struct {
	switchingFields
	Chip       string        `yaml:"chip"`
	Line       string        `yaml:"line"`
	ActiveLow  bool          `yaml:"active_low"`
	Drive      string        `yaml:"drive"`
	Bias       string        `yaml:"bias"`
	RescueChip string        `yaml:"rescue_chip"`
	RescueLine string        `yaml:"rescue_line"`
	RescueHold time.Duration `yaml:"rescue_hold" in:"0s.."`
}

func drives() map[string]gpio.Drive {
	return map[string]gpio.Drive{"push-pull": gpio.PushPull, "open-drain": gpio.OpenDrain, "open-source": gpio.OpenSource}
}

func biases() map[string]gpio.Bias {
	return map[string]gpio.Bias{"as-is": gpio.AsIs, "pull-up": gpio.PullUp, "pull-down": gpio.PullDown, "none": gpio.NoBias}
}

func newGPIO(s gpioSettings) (power.Controller, error) {
	if s.Chip != "" && strings.Trim(s.Chip, "0123456789") == "" { // as gpiodetect and Jumpstarter take it, too
		s.Chip = "/dev/gpiochip" + s.Chip
	}
	opts := []gpio.Option{gpio.WithSwitching(s.switching())}
	if s.ActiveLow {
		opts = append(opts, gpio.WithActiveLow())
	}
	if s.Drive != "" {
		d, ok := drives()[s.Drive]
		if !ok {
			return nil, fmt.Errorf("drive: %w", fields.Unknown("drive", s.Drive, names(drives())))
		}
		opts = append(opts, gpio.WithDrive(d))
	}
	if s.Bias != "" {
		b, ok := biases()[s.Bias]
		if !ok {
			return nil, fmt.Errorf("bias: %w", fields.Unknown("bias", s.Bias, names(biases())))
		}
		opts = append(opts, gpio.WithBias(b))
	}
	if s.RescueLine != "" {
		opts = append(opts, gpio.WithRescueLine(first(s.RescueChip, s.Chip), s.RescueLine, s.RescueHold))
	} else if s.RescueChip != "" || s.RescueHold != 0 {
		return nil, errors.New("rescue_line: is required where rescue_chip or rescue_hold is given")
	}
	return gpio.New(s.Chip, s.Line, opts...)
}
