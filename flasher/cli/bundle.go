package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/bundle"
)

func bundleCommand(s *shared) *cobra.Command {
	cmd := &cobra.Command{Use: "bundle", Short: "Pull, look at, check and make flasher bundles"}
	var cacheDir string
	var plain bool
	cmd.PersistentFlags().StringVar(&cacheDir, "cache-dir", "", "where bundles are kept")
	cmd.PersistentFlags().BoolVar(&plain, "plain-http", false, "speak http with the registry")
	opts := func(c *cobra.Command) []bundle.Option {
		var opts []bundle.Option
		if cacheDir != "" {
			opts = append(opts, bundle.WithCacheDir(cacheDir))
		}
		if c.Flags().Changed("plain-http") {
			opts = append(opts, bundle.WithPlainHTTP(plain))
		}
		return opts
	}
	// of is a command about one bundle: that of REF, or of a board.
	of := func(use, short string, do func(*cobra.Command, string, []bundle.Option) error) *cobra.Command {
		return uses(&cobra.Command{
			Use: use + " REF | " + use + " --board NAME", Short: short,
			Long: short + `.
REF is a reference, a layout or a directory. In its place, --board or --config name a
board, whose flasher_bundle and cache_dir are used.`,
			Args: args(cobra.MaximumNArgs(1)),
			RunE: func(c *cobra.Command, a []string) error {
				ref, err := s.bundleOf(c, a, &cacheDir)
				if err != nil {
					return err
				}
				return do(c, ref, opts(c))
			},
		}, "cache-dir", "plain-http", "config", "board")
	}
	cmd.AddCommand(
		of("pull", "Pull a bundle into the cache and print its digest", pull),
		of("inspect", "Print what a bundle holds", inspectBundle),
		of("lint", "Look for mistakes in a bundle", lint),
		&cobra.Command{Use: "create DIR LAYOUT", Short: "Make an OCI layout of the directory of a bundle", Args: args(cobra.ExactArgs(2)),
			RunE: func(c *cobra.Command, a []string) error {
				digest, err := bundle.Create(c.Context(), a[0], a[1], opts(c)...)
				return printDigest(c, digest, err)
			}},
		uses(&cobra.Command{Use: "push DIR REF", Short: "Make a bundle of a directory and push it", Args: args(cobra.ExactArgs(2)),
			RunE: func(c *cobra.Command, a []string) error {
				digest, err := bundle.Push(c.Context(), a[0], a[1], opts(c)...)
				return printDigest(c, digest, err)
			}}, "plain-http"),
		templateCommand(), cacheCommand(&cacheDir),
	)
	return cmd
}

// bundleOf is the bundle that a command line names, and sets the cache of a board whose
// bundle that is.
func (s *shared) bundleOf(c *cobra.Command, a []string, cacheDir *string) (string, error) {
	ofBoard := c.Flags().Changed("board") || c.Flags().Changed("config")
	switch {
	case len(a) == 1 && a[0] == "":
		return "", usageError{fmt.Errorf("REF is empty (see %s --help)", c.CommandPath())}
	case (len(a) == 1) == ofBoard:
		return "", usageError{fmt.Errorf("%s takes either a REF or --board (see %[1]s --help)", c.CommandPath())}
	case len(a) == 1:
		return a[0], nil
	}
	b, err := s.one()
	if err != nil {
		return "", err
	}
	if *cacheDir == "" {
		*cacheDir = b.CacheDir
	}
	return b.FlasherBundle, nil
}

func printDigest(c *cobra.Command, digest string, err error) error {
	if err == nil {
		fmt.Fprintln(c.OutOrStdout(), digest)
	}
	return err
}

func pull(c *cobra.Command, ref string, opts []bundle.Option) error {
	b, err := bundle.Open(c.Context(), ref, opts...)
	if err != nil {
		return err
	}
	for _, w := range b.Warnings() {
		fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
	}
	fmt.Fprintln(c.OutOrStdout(), b.Digest())
	return b.Close()
}

func inspectBundle(c *cobra.Command, ref string, opts []bundle.Option) error {
	b, err := bundle.Open(c.Context(), ref, opts...)
	if err != nil {
		return err
	}
	defer b.Close()
	out := c.OutOrStdout()
	fmt.Fprintf(out, "digest    %s\n", orNone(b.Digest()))
	names, err := b.Manifests()
	if err != nil {
		return err
	}
	for _, name := range names {
		m, err := b.Manifest(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "manifest  %s: %s %s\n", name, m.Name, m.Spec.Manufacturer)
		for _, t := range m.TargetNames() {
			path, err := m.Target(t)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "target    %s: %s%s\n", t, path, map[bool]string{true: " (default)"}[t == m.Spec.DefaultTarget])
		}
		for _, v := range m.VariantNames() {
			fmt.Fprintf(out, "variant   %s\n", v)
		}
		fmt.Fprintf(out, "boot      %s\n", m.Spec.BootCmd)
	}
	files, err := b.Files()
	if err != nil {
		return err
	}
	for _, f := range files {
		size, err := b.Size(f)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "file      %s: %d bytes\n", f, size)
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func lint(c *cobra.Command, ref string, opts []bundle.Option) error {
	findings, err := bundle.Lint(c.Context(), ref, opts...)
	if err != nil {
		return err
	}
	bad := 0
	for _, f := range findings {
		fmt.Fprintln(c.OutOrStdout(), f)
		if f.Severity == bundle.SeverityError {
			bad++
		}
	}
	switch bad {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("bundle lint: 1 error in %s", ref)
	}
	return fmt.Errorf("bundle lint: %d errors in %s", bad, ref)
}

func templateCommand() *cobra.Command {
	names := strings.Join(bundle.Templates(), ", ")
	return &cobra.Command{
		Use: "template DIR TEMPLATE BOARD", Short: "Start a bundle for a new board; templates are " + names, Args: args(cobra.ExactArgs(3)),
		RunE: func(c *cobra.Command, a []string) error {
			if !slices.Contains(bundle.Templates(), a[1]) {
				return usageError{fmt.Errorf("there is no template %q; known are %s", a[1], names)}
			}
			return bundle.WriteTemplate(a[0], a[1], a[2])
		},
	}
}

func cacheCommand(dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "List or prune the bundles that are kept"}
	list := uses(&cobra.Command{Use: "list", Short: "List the bundles, the one used last first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cache, err := bundle.OpenCache(*dir)
			if err != nil {
				return err
			}
			all, err := cache.List()
			if err != nil {
				return err
			}
			for _, b := range all {
				fmt.Fprintf(c.OutOrStdout(), "%s  %9.1f MB  %s  %s\n", b.LastUsed.Format(time.DateTime), float64(b.Size)/1e6, b.Digest, strings.Join(b.References, " "))
			}
			return nil
		}}, "cache-dir")
	var o bundle.PruneOptions
	prune := uses(&cobra.Command{Use: "prune", Short: "Drop old bundles, and what none needs", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.MaxAge < 0 || o.MaxSize < 0 {
				return usageError{fmt.Errorf("--max-age %v and --max-size %d: none may be negative", o.MaxAge, o.MaxSize)}
			}
			cache, err := bundle.OpenCache(*dir)
			if err != nil {
				return err
			}
			r, err := cache.Prune(c.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "dropped %d bundles, freed %.1f MB, kept %.1f MB, %d in use\n", r.Dropped, float64(r.Freed)/1e6, float64(r.Kept)/1e6, r.InUse)
			return nil
		}}, "cache-dir")
	prune.Flags().DurationVar(&o.MaxAge, "max-age", 0, "drop bundles that were not used for longer")
	prune.Flags().Int64Var(&o.MaxSize, "max-size", 0, "drop the bundles used longest ago until so many bytes are left")
	cmd.AddCommand(list, prune)
	return cmd
}
