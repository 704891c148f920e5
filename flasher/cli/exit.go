package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/transport/image"
)

// The classes of failure in the package comment.
const (
	exitOther       = 1
	exitUsage       = 2
	exitSource      = 3
	exitHost        = 4
	exitCables      = 5
	exitBoard       = 6
	exitFlash       = 7
	exitVerify      = 8
	exitInterrupted = 130
)

// ExitCode returns the exit code for the error of a command; see the package
// comment.
func ExitCode(err error) int {
	var usage usageError
	var fe *flasher.Error
	var be *bundle.Error
	var ie *image.Error
	var pe *power.Error
	var ce checkError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &ce):
		return ce.code
	case errors.As(err, &usage), errors.Is(err, flasher.ErrConfig), byCobra(err), wrongName(err):
		return exitUsage
	case errors.Is(err, flasher.ErrVerify):
		return exitVerify
	case errors.As(err, &fe):
		return exitOfStep(fe.Step)
	case errors.As(err, &be), errors.As(err, &ie):
		return exitSource
	case errors.As(err, &pe), errors.As(err, new(cablesError)):
		return exitCables
	}
	return exitOther
}

// wrongName tells whether an option names something that does not exist.
func wrongName(err error) bool {
	for _, is := range []error{image.ErrInvalid, bundle.ErrUnknownTarget, bundle.ErrUnknownVariant, bundle.ErrOverride, bundle.ErrReference, flasher.ErrTargetOverlap} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// cablesError is a console that cannot be opened without a Flasher.
type cablesError struct{ error }

func (c cablesError) Unwrap() error { return c.error }

// byCobra recognises the errors about the command line that cobra makes itself.
func byCobra(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "unknown command ") || strings.HasPrefix(text, "if any flags in the group ")
}

func exitOfStep(s flasher.Step) int {
	for code, steps := range map[int][]flasher.Step{
		exitSource: {flasher.StepCheck, flasher.StepBundle, flasher.StepImage},
		exitHost:   {flasher.StepServe},
		exitCables: {flasher.StepConsole, flasher.StepPower, flasher.StepPowerState},
		exitBoard:  {flasher.StepBootloader, flasher.StepNetwork, flasher.StepLoad, flasher.StepBoot, flasher.StepLogin},
	} {
		if slices.Contains(steps, s) {
			return code
		}
	}
	return exitFlash
}
