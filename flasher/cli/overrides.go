package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher"
)

// overrideFlags say what is used in place of what the bundle has, and how it gets
// into the board's RAM. A flash, a dump and both shells have them.
type overrideFlags struct {
	manifest, variant, kernel, initram, dtb string

	load string
}

func (f *overrideFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.manifest, "manifest", "", "manifest in the bundle, in place of manifest.yaml")
	flags.StringVar(&f.variant, "variant", "", "DTB variant of the bundle")
	flags.StringVar(&f.kernel, "kernel", "", "kernel to load in place of the bundle's: a path or a URL")
	flags.StringVar(&f.initram, "initram", "", "initramfs to load in place of the bundle's")
	flags.StringVar(&f.dtb, "dtb", "", "DTB to load in place of the bundle's")
	var methods []string
	for _, m := range flasher.LoadMethods() {
		methods = append(methods, string(m))
	}
	flags.StringVar(&f.load, "load", "", "how U-Boot gets kernel, initramfs and DTB: "+strings.Join(methods, ", "))
	if err := cmd.RegisterFlagCompletionFunc("load", cobra.FixedCompletions(methods, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is made above
	}
}

// options leave out what was not given, so that the board file's choice stays.
func (f *overrideFlags) options() []flasher.Option {
	var opts []flasher.Option
	for _, o := range []struct {
		value string
		use   func(string) flasher.Option
	}{
		{f.manifest, flasher.UseManifest}, {f.variant, flasher.UseDTBVariant},
		{f.kernel, flasher.UseKernel}, {f.initram, flasher.UseInitram}, {f.dtb, flasher.UseDTB},
	} {
		if o.value != "" {
			opts = append(opts, o.use(o.value))
		}
	}
	if f.load != "" {
		opts = append(opts, flasher.WithLoad(flasher.LoadMethod(f.load)))
	}
	return opts
}
