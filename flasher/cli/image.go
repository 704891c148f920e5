package cli

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/transport/image"
)

func imageCommand(s *shared) *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Look at disk images, or prepare them ahead of a flash"}
	f := &flashFlags{}
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.cacert, "cacert", "", "file with the certificates to trust the image's server by")
	flags.BoolVarP(&f.insecure, "insecure-tls", "k", false, "do not check the certificate of the image's server")
	flags.StringArrayVar(&f.headers, "header", nil, "header for the image's server, as 'Name: value'; repeatable")
	flags.StringVar(&f.bearer, "bearer", "", "bearer token for the image's server")
	cmd.MarkFlagsMutuallyExclusive("cacert", "insecure-tls")
	source := []string{"cacert", "insecure-tls", "header", "bearer"}
	open := func(file string) (image.Source, error) {
		opts, err := f.source()
		if err != nil {
			return nil, usageError{err}
		}
		if err := f.checkServer(file); err != nil {
			return nil, err
		}
		return image.Open(file, opts...)
	}
	inspect := uses(&cobra.Command{Use: "inspect FILE", Short: "Print formats, size, partitions and file systems of an image", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, a []string) error {
			src, err := open(a[0])
			if err != nil {
				return err
			}
			r, err := image.Inspect(c.Context(), src)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), r)
			return nil
		}}, source...)
	var cacheDir, sum string
	prepare := uses(&cobra.Command{Use: "prepare FILE", Short: "Unpack and check an image into the cache, so that a flash finds it ready", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, a []string) error {
			src, err := open(a[0])
			if err != nil {
				return err
			}
			if c.Flags().Changed("board") || c.Flags().Changed("config") {
				if cacheDir != "" {
					return usageError{errors.New("--cache-dir and a board both say where prepared images are kept")}
				}
				b, err := s.one()
				if err != nil {
					return err
				}
				cacheDir = cmp.Or(b.HTTPDir, b.CacheDir)
			}
			var opts []image.PrepareOption
			if cacheDir != "" {
				opts = append(opts, image.WithCacheDir(cacheDir))
			}
			if sum != "" {
				opts = append(opts, image.WithSHA256(sum))
			}
			p, err := image.Prepare(c.Context(), src, opts...)
			if err != nil {
				return err
			}
			defer p.Close()
			if err := p.Wait(c.Context()); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%d bytes, sha256 %s\n", p.Size(), p.SHA256())
			return p.Close()
		}}, append(source, "config", "board")...)
	prepare.Flags().StringVar(&cacheDir, "cache-dir", "", "where prepared images are kept; the default is that of the board, where --board or --config is given, or the user's cache directory")
	prepare.Flags().StringVar(&sum, "os-image-checksum", "", "SHA-256 of the image file as it is stored")
	cmd.AddCommand(inspect, prepare)
	return cmd
}
