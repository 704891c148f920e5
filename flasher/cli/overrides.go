package cli

import (
	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher"
)

// overrideFlags say what is used in place of what the bundle has. A flash and
// both shells have them.
type overrideFlags struct {
	manifest, variant, kernel, initram, dtb string
}

func (f *overrideFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.manifest, "manifest", "", "manifest in the bundle, in place of manifest.yaml")
	flags.StringVar(&f.variant, "variant", "", "DTB variant of the bundle")
	flags.StringVar(&f.kernel, "kernel", "", "kernel to load in place of the bundle's: a path or a URL")
	flags.StringVar(&f.initram, "initram", "", "the same for the initramfs")
	flags.StringVar(&f.dtb, "dtb", "", "the same for the DTB")
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
	return opts
}
