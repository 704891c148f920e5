package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dutflash/dutflash/internal/closest"
)

// flagError makes an error of pflag's one that says what to do.
func flagError(cmd *cobra.Command, err error) error {
	// A flag that a command does not have may be that of the one that was meant.
	if before := cmd.Flags().Args(); cmd.HasSubCommands() && len(before) > 0 {
		return unknownCommand(cmd, before[0])
	}
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		if near := nearFlag(cmd, unknown.GetSpecifiedName()); near != "" {
			err = fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	case errors.As(err, &invalid):
		wanted := map[string]string{
			"int": "a whole number", "int64": "a whole number", "bool": "true or false", "duration": "a time such as 5s or 1m30s",
		}[invalid.GetFlag().Value.Type()]
		if wanted != "" {
			err = wording{err, fmt.Sprintf("invalid argument %q for --%s: it is not %s", invalid.GetValue(), invalid.GetFlag().Name, wanted)}
		}
	}
	return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
}

// wording is an error in other words.
type wording struct {
	error
	text string
}

func (w wording) Error() string { return w.text }
func (w wording) Unwrap() error { return w.error }

// nearFlag is the flag of a command that was probably meant, or "".
func nearFlag(cmd *cobra.Command, name string) string {
	var names []string
	used := usedBelow(cmd)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if cmd.InheritedFlags().Lookup(f.Name) == nil || slices.Contains(used, f.Name) {
			names = append(names, f.Name)
		}
	})
	return near(name, names)
}

// near is the name that one begins, or differs least from; "" if there is none.
func near(name string, known []string) string {
	if i := slices.IndexFunc(known, func(k string) bool { return name != "" && strings.HasPrefix(k, strings.ToLower(name)) }); i >= 0 {
		return known[i]
	}
	return closest.To(name, known)
}

// nameOfOption is what errors of a Flasher's options begin with.
var nameOfOption = regexp.MustCompile(`^new: check: bad configuration: With(\w+): `)

// ofFlag names the flag that an option comes from, and not the option, which is Go's.
func ofFlag(cmd *cobra.Command, err error) error {
	m := nameOfOption.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	flag := strings.ToLower(m[1])
	if cmd.Flags().Lookup(flag) == nil {
		return err
	}
	return wording{err, "--" + flag + ": " + strings.TrimPrefix(err.Error(), m[0])}
}

// noArgs refuses arguments of a command that takes none.
func noArgs(cmd *cobra.Command, a []string) error {
	if len(a) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, and was given %q (see %[1]s --help)", cmd.CommandPath(), a[0])}
	}
	return nil
}
