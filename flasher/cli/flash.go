package cli

import (
	"encoding/json"
	"fmt"
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
	target, sum, sumFile, bundle string
	method, verify               string
	cacert, bearer               string
	headers                      []string
	insecure, json               bool
	powerOff, keepOn, writeAll   bool
	exporterHTTP                 bool
	retries                      int
}

func flashCommand(s *shared) *cobra.Command {
	f := &flashFlags{}
	cmd := &cobra.Command{
		Use:   "flash FILE",
		Short: "Flash an image and prove that it is on the disk",
		Long: `Flash an image and prove that it is on the disk.

FILE is a path, - for standard input, an http(s) URL, or an oci:// reference.
Credentials for registries come from docker's and podman's files, or from
OCI_USERNAME and OCI_PASSWORD.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error { return f.run(cmd, s, a[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.target, "target", "", "what to flash: a target of the manifest, /dev/..., or /sys/class/block#ADDRESS")
	flags.StringVar(&f.target, "partition", "", "the same as --target")
	flags.StringVar(&f.sum, "os-image-checksum", "", "SHA-256 of the image file as it is stored")
	flags.StringVar(&f.sumFile, "os-image-checksum-file", "", "file with that checksum, as sha256sum writes it")
	flags.StringVar(&f.bundle, "force-flash-bundle", "", "flasher bundle to use in place of the board's")
	flags.BoolVar(&f.exporterHTTP, "force-exporter-http", false, "have this host serve the image, also where FILE is a URL (it always does)")
	f.overrideFlags.add(cmd)
	flags.StringVar(&f.method, "method", string(flasher.MethodAuto), "how the image gets onto the disk: auto, extents or stream")
	flags.StringVar(&f.verify, "verify", string(flasher.VerifyFull), "what is read back: full or none")
	flags.BoolVar(&f.writeAll, "write-all", false, "write everything, also what is on the disk already")
	flags.IntVar(&f.retries, "retries", 3, "how often to power-cycle and go on after a failure of the board")
	flags.StringVar(&f.cacert, "cacert", "", "file with the certificates to trust the image's server by")
	flags.BoolVarP(&f.insecure, "insecure-tls", "k", false, "do not check the certificate of the image's server")
	flags.StringArrayVar(&f.headers, "header", nil, "header for the image's server, as 'Name: value'; repeatable")
	flags.StringVar(&f.bearer, "bearer", "", "bearer token for the image's server")
	flags.BoolVar(&f.powerOff, "power-off", true, "switch the board off at the end")
	flags.BoolVar(&f.keepOn, "no-power-off", false, "leave the board on at the end")
	flags.BoolVar(&f.json, "json", false, "print one JSON object per event, and the result as the last, on standard output")
	for _, pair := range [][]string{{"target", "partition"}, {"os-image-checksum", "os-image-checksum-file"}, {"power-off", "no-power-off"}, {"cacert", "insecure-tls"}} {
		cmd.MarkFlagsMutuallyExclusive(pair...)
	}
	return cmd
}

func (f *flashFlags) run(cmd *cobra.Command, s *shared, file string) error {
	opts, err := f.options()
	if err != nil {
		return usageError{err}
	}
	p := newProgress(cmd, f.json)
	defer p.close()
	fl, err := s.flasher(cmd, append(opts, flasher.WithProgress(p.event))...)
	if err != nil {
		return err
	}
	each := []flasher.FlashOption{flasher.WithTarget(f.target), flasher.WithImageSHA256(f.sum)}
	if f.bundle != "" {
		each = append(each, flasher.WithBundle(f.bundle))
	}
	res, err := fl.Flash(cmd.Context(), file, each...)
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
	proof := "not proved"
	if res.SHA256 != "" {
		proof = "proved, sha256 " + res.SHA256
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s holds the image (%s): %d bytes, %d written, in %v\n",
		res.Device, proof, res.ImageBytes, res.WrittenBytes, res.Elapsed.Round(time.Second))
	return nil
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
func printResult(cmd *cobra.Command, res *flasher.Result, err error) error {
	last := struct {
		Result *flasher.Result `json:"result,omitempty"`
		Error  string          `json:"error,omitempty"`
		Exit   int             `json:"exit_code"`
	}{Result: res, Exit: ExitCode(err)}
	if err != nil {
		last.Error = err.Error()
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(last)
}

func (f *flashFlags) options() ([]flasher.Option, error) {
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
	source, err := f.source()
	if err != nil {
		return nil, err
	}
	return append(opts, flasher.WithSourceOptions(source...)), nil
}

// source says how the image is fetched.
func (f *flashFlags) source() ([]image.SourceOption, error) {
	var opts []image.SourceOption
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
