package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/transport/image"
)

// flashFlags are the flags of flash: the seed's, those of Jumpstarter's present
// release, and ours.
type flashFlags struct {
	overrideFlags
	transcriptFlag
	target, partition          string
	parts                      []string
	sum, sumFile, bundle, bmap string
	moveGPT, noBmap            bool
	method, verify             string
	cacert, bearer             string
	headers                    []string
	insecure, json             bool
	powerOff, keepOn, writeAll bool
	exporterHTTP, direct       bool
	retries                    int
}

func flashCommand(s *shared) *cobra.Command {
	f := &flashFlags{}
	cmd := &cobra.Command{
		Use:   "flash FILE | flash -t PARTITION:FILE...",
		Short: "Flash an image, or several, and prove that they are on the disk",
		Long: `Flash an image, or several to partitions of the disk in one boot of the board, and
prove that they are there.

FILE is a path, - for standard input, an http(s) URL, or an oci:// reference.
Credentials for registries come from docker's and podman's files, or from
OCI_USERNAME and OCI_PASSWORD.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if (len(a) == 1) == (len(f.parts) > 0) {
				return usageError{fmt.Errorf("flash takes either a FILE or -t PARTITION:FILE (see %s --help)", cmd.CommandPath())}
			}
			file := strings.Join(a, "")
			if len(a) == 1 && file == "" {
				return usageError{fmt.Errorf("FILE is empty (see %s --help)", cmd.CommandPath())}
			}
			if f.direct && !strings.HasPrefix(file, "http://") && !strings.HasPrefix(file, "https://") {
				return usageError{errors.New("--direct is for a FILE that is an http or https URL, which the board can fetch by itself")}
			}
			return f.run(cmd, s, file)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.target, "target", "", "what to flash: a target of the manifest, /dev/..., or /sys/class/block#ADDRESS")
	flags.StringVar(&f.partition, "partition", "", "partition of the target: label, number, or PARTUUID=...; or the name of a target")
	flags.StringArrayVarP(&f.parts, "part", "t", nil, "PARTITION:FILE to flash, in place of FILE; repeatable")
	flags.StringVar(&f.bmap, "bmap", "", "block map of the image, in place of the one beside it: a path or a URL")
	flags.BoolVar(&f.noBmap, "no-bmap", false, "write all of the image, also where a block map is beside it")
	flags.BoolVar(&f.moveGPT, "move-backup-gpt", false, "move the image's backup GPT to the end of a larger disk")
	flags.StringVar(&f.sum, "os-image-checksum", "", "SHA-256 of the image file as it is stored")
	flags.StringVar(&f.sumFile, "os-image-checksum-file", "", "file with that checksum, as sha256sum writes it")
	flags.StringVar(&f.bundle, "force-flash-bundle", "", "flasher bundle to use in place of the board's")
	flags.BoolVar(&f.exporterHTTP, "force-exporter-http", false, "have this host serve the image, also where FILE is a URL (the default)")
	flags.BoolVar(&f.direct, "direct", false, "have the board fetch FILE, which is a URL, by itself, with its own pipeline")
	f.overrideFlags.add(cmd)
	f.transcriptFlag.add(cmd)
	flags.StringVar(&f.method, "method", string(flasher.MethodAuto), "how the image gets onto the disk: auto, extents, stream or shell")
	flags.StringVar(&f.verify, "verify", string(flasher.VerifyFull), "what is read back: full, when all is written; written, while other chunks are written; or none")
	flags.BoolVar(&f.writeAll, "write-all", false, "write everything, also what is on the disk already")
	flags.IntVar(&f.retries, "retries", 3, "how often to power-cycle and go on after a failure of the board")
	flags.StringVar(&f.cacert, "cacert", "", "file with the certificates to trust the image's server by")
	flags.BoolVarP(&f.insecure, "insecure-tls", "k", false, "do not check the certificate of the image's server")
	flags.StringArrayVar(&f.headers, "header", nil, "header for the image's server, as 'Name: value'; repeatable")
	flags.StringVar(&f.bearer, "bearer", "", "bearer token for the image's server")
	flags.BoolVar(&f.powerOff, "power-off", true, "switch the board off at the end")
	flags.BoolVar(&f.keepOn, "no-power-off", false, "leave the board on at the end")
	flags.BoolVar(&f.json, "json", false, "print one JSON object per event, and the result as the last, on standard output")
	for _, pair := range [][]string{{"bmap", "no-bmap"}, {"part", "partition"}, {"part", "os-image-checksum"}, {"part", "os-image-checksum-file"}, {"os-image-checksum", "os-image-checksum-file"}, {"power-off", "no-power-off"}, {"cacert", "insecure-tls"}, {"direct", "force-exporter-http"}, {"direct", "method"}, {"direct", "part"}} {
		cmd.MarkFlagsMutuallyExclusive(pair...)
	}
	for flag, values := range map[string][]cobra.Completion{
		"method": {string(flasher.MethodAuto), string(flasher.MethodExtents), string(flasher.MethodStream), string(flasher.MethodShell)},
		"verify": {string(flasher.VerifyFull), string(flasher.VerifyWritten), string(flasher.VerifyNone)},
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // the flags are made above
		}
	}
	return cmd
}

func (f *flashFlags) run(cmd *cobra.Command, s *shared, file string) (err error) {
	opts, err := f.options()
	if err != nil {
		return usageError{err}
	}
	if err := f.checkServer(append([]string{file, f.bmap}, f.parts...)...); err != nil {
		return err
	}
	var finish func() error
	if s.transcript, finish, err = f.transcriptFlag.open(cmd.ErrOrStderr()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish()) }()
	p := newProgress(cmd, s, f.json)
	defer p.close()
	fl, err := s.flasher(cmd, append(opts, flasher.WithProgress(p.event))...)
	if err != nil {
		return err
	}
	res, err := f.flash(cmd.Context(), fl, file)
	p.close()
	if f.json {
		return errorsFirst(err, printResult(cmd, res, err))
	}
	if err != nil {
		return err
	}
	for _, w := range res.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
	}
	parts := res.Parts
	if parts == nil {
		parts = []*flasher.Result{res}
	}
	for _, part := range parts {
		proof := "not proved"
		if part.SHA256 != "" {
			proof = "proved, sha256 " + part.SHA256
		} else if part.ProvedBytes > 0 {
			proof = fmt.Sprintf("%d bytes proved, the rest is not in its block map", part.ProvedBytes)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s holds the image (%s): %d bytes, %d written\n", part.Device, proof, part.ImageBytes, part.WrittenBytes)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "done in %v\n", res.Elapsed.Round(time.Second))
	return nil
}

// flash flashes one image or several.
func (f *flashFlags) flash(ctx context.Context, fl *flasher.Flasher, file string) (*flasher.Result, error) {
	opts := []flasher.FlashOption{flasher.WithTarget(f.target)}
	if f.bundle != "" {
		opts = append(opts, flasher.WithBundle(f.bundle))
	}
	if f.moveGPT {
		opts = append(opts, flasher.WithMoveBackupGPT())
	}
	if f.bmap != "" {
		opts = append(opts, flasher.WithBmap(f.bmap))
	}
	if f.noBmap {
		opts = append(opts, flasher.WithoutBmap())
	}
	if len(f.parts) == 0 {
		if f.partition != "" {
			opts = append(opts, flasher.WithPartition(f.partition))
		}
		return fl.Flash(ctx, file, append(opts, flasher.WithImageSHA256(f.sum))...)
	}
	var parts []flasher.Part
	for _, text := range f.parts {
		part, err := flasher.ParsePart(text)
		if err != nil {
			return nil, usageError{err}
		}
		parts = append(parts, part)
	}
	return fl.FlashParts(ctx, parts, opts...)
}

// errorsFirst returns the first error there is.
func errorsFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// printResult prints the result, or what failed, as the last JSON object.
func printResult[R any](cmd *cobra.Command, res *R, err error) error {
	last := struct {
		Result *R     `json:"result,omitempty"`
		Error  string `json:"error,omitempty"`
		Exit   int    `json:"exit_code"`
	}{Result: res, Exit: ExitCode(err)}
	if err != nil {
		last.Error = err.Error()
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(last)
}

func (f *flashFlags) options() ([]flasher.Option, error) {
	if err := readable("os-image-checksum-file", f.sumFile); err != nil {
		return nil, err
	}
	opts := []flasher.Option{
		flasher.WithPowerOff(f.powerOff && !f.keepOn), flasher.WithRetries(f.retries),
		flasher.WithMethod(flasher.Method(f.method)), flasher.WithVerify(flasher.Verify(f.verify)),
	}
	opts = append(opts, f.overrideFlags.options()...)
	if f.writeAll {
		opts = append(opts, flasher.WithWriteAll())
	}
	if f.sumFile != "" {
		opts = append(opts, flasher.WithPrepareOptions(image.WithSHA256File(f.sumFile)))
	}
	if f.direct {
		remote := flasher.Remote{BearerToken: f.bearer, CAFile: f.cacert, InsecureTLS: f.insecure, Header: map[string]string{}}
		for _, h := range f.headers {
			name, value, _ := strings.Cut(h, ":")
			remote.Header[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
		opts = append(opts, flasher.WithDirect(remote))
	}
	source, err := f.source()
	if err != nil {
		return nil, err
	}
	return append(opts, flasher.WithSourceOptions(source...)), nil
}

// readable looks for the file that a flag names, if any.
func readable(flag, path string) error {
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	return file.Close()
}

// checkServer refuses what is said about a server where none of the images, or parts,
// comes from one.
func (f *flashFlags) checkServer(refs ...string) error {
	if slices.ContainsFunc(refs, func(ref string) bool { return strings.Contains(ref, "://") }) {
		return nil
	}
	for flag, given := range map[string]bool{
		"cacert": f.cacert != "", "insecure-tls": f.insecure, "header": len(f.headers) > 0, "bearer": f.bearer != "",
	} {
		if given {
			return usageError{fmt.Errorf("--%s is for an image that comes from a server, such as https://lab/image.raw.xz", flag)}
		}
	}
	return nil
}

// source says how the image is fetched.
func (f *flashFlags) source() ([]image.SourceOption, error) {
	var opts []image.SourceOption
	if err := readable("cacert", f.cacert); err != nil {
		return nil, err
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("--header must be 'Name: value'") // what it holds may be a secret
		}
		opts = append(opts, image.WithHeader(name, strings.TrimSpace(value)))
	}
	if f.bearer != "" {
		opts = append(opts, image.WithBearerToken(f.bearer))
	}
	if f.cacert != "" {
		opts = append(opts, image.WithCAFile(f.cacert))
	}
	if f.insecure {
		opts = append(opts, image.WithInsecureTLS())
	}
	return opts, nil
}
