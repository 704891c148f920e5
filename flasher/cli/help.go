package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// refuseUnknown has a command that only holds others refuse what is none of them:
// cobra would print the help, and a script would take that for success.
func refuseUnknown(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		refuseUnknown(sub)
	}
	if cmd.Runnable() {
		return
	}
	cmd.DisableFlagsInUseLine = true
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(c *cobra.Command, a []string) error {
		if len(a) == 0 {
			return c.Help()
		}
		return unknownCommand(c, a[0])
	}
}

// withoutItself changes cobra's template so that a command that only holds others is not
// shown as one that can be run.
func withoutItself(template string) string {
	return strings.Replace(template, "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1)
}

// hideUnused has the help of a command not show those flags of the commands above it
// that mean nothing for it, and which it refuses.
func hideUnused(cmd *cobra.Command, above []*pflag.FlagSet) {
	cmd.SetHelpFunc(func(c *cobra.Command, a []string) {
		used := usedBelow(c)
		for _, flags := range above {
			flags.VisitAll(func(f *pflag.Flag) { f.Hidden = f.Hidden || !slices.Contains(used, f.Name) })
		}
		cmd.Parent().HelpFunc()(c, a)
	})
}

// usedBelow are the flags of the commands above it that a command, or one of its own,
// uses.
func usedBelow(cmd *cobra.Command) []string {
	used := strings.Fields(cmd.Annotations[usesKey])
	for _, sub := range cmd.Commands() {
		used = append(used, usedBelow(sub)...)
	}
	return used
}

// unknownCommand is the error for a name that none of a command's subcommands has.
func unknownCommand(c *cobra.Command, name string) error {
	if name == "version" && c.Version != "" {
		return usageError{fmt.Errorf("unknown command %q for %q; did you mean %q?", name, c.CommandPath(), c.CommandPath()+" --version")}
	}
	var known []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	switch near := near(name, known); {
	case near != "":
		return usageError{fmt.Errorf("unknown command %q for %q; did you mean %q?", name, c.CommandPath(), near)}
	case known == nil:
		return usageError{fmt.Errorf("unknown command %q for %q, which has none", name, c.CommandPath())}
	}
	return usageError{fmt.Errorf("unknown command %q for %q; known are %s", name, c.CommandPath(), strings.Join(known, " "))}
}

// helpCommand is cobra's, which takes a command that there is not for a success.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(c *cobra.Command, names []string) error {
			of := c.Root()
			for _, name := range names {
				sub := subcommand(of, name)
				if sub == nil {
					return unknownCommand(of, name)
				}
				of = sub
			}
			of.InitDefaultHelpFlag()
			of.InitDefaultVersionFlag()
			return of.Help()
		},
		ValidArgsFunction: func(c *cobra.Command, names []string, begin string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
			of := c.Root()
			for _, name := range names {
				if of = subcommand(of, name); of == nil {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
			}
			for _, sub := range of.Commands() {
				if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), begin) {
					found = append(found, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return found, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// subcommand is the command of that name below another, or nil.
func subcommand(of *cobra.Command, name string) *cobra.Command {
	i := slices.IndexFunc(of.Commands(), func(c *cobra.Command) bool { return c.Name() == name || c.HasAlias(name) })
	if i < 0 {
		return nil
	}
	return of.Commands()[i]
}
