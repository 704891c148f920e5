package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher"
)

// dumpFlags are the flags of dump.
type dumpFlags struct {
	overrideFlags
	transcriptFlag
	target, partition, bundle, compression string
	from                                   int64
	used, force, json, keepOn              bool
}

func dumpCommand(s *shared) *cobra.Command {
	f := &dumpFlags{}
	cmd := &cobra.Command{
		Use:   "dump FILE",
		Short: "Read a target, or a part of it, into a file, and prove that it is what is there",
		Long: `Read a target, or a part of it, into a file (- for standard output), and prove that
it is what is there. Zeros become holes of the file. Nothing is written to any disk of
the board. A dump that was cut off is continued with --from and the size of the file.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error { return f.run(cmd, s, a[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.target, "target", "", "what to read: a target of the manifest, /dev/..., or /sys/class/block#ADDRESS")
	flags.StringVar(&f.partition, "partition", "", "partition of the target: label, number, or PARTUUID=...")
	flags.BoolVar(&f.used, "used", false, "only up to the end of the last partition")
	flags.Int64Var(&f.from, "from", 0, "offset in bytes to go on from; FILE is appended to")
	flags.StringVar(&f.compression, "compression", "", "what the board packs the data with on the way; the default is what is fastest")
	flags.StringVar(&f.bundle, "force-flash-bundle", "", "flasher bundle to use in place of the board's")
	flags.BoolVar(&f.force, "force", false, "overwrite FILE")
	flags.BoolVar(&f.keepOn, "no-power-off", false, "leave the board on at the end")
	flags.BoolVar(&f.json, "json", false, "print one JSON object per event, and the result as the last, on standard output")
	f.overrideFlags.add(cmd)
	f.transcriptFlag.add(cmd)
	return cmd
}

func (f *dumpFlags) run(cmd *cobra.Command, s *shared, file string) (err error) {
	switch { // before anything is made of the file
	case f.from < 0:
		return usageError{fmt.Errorf("--from %d is negative", f.from)}
	case f.json && file == "-":
		return usageError{errors.New("--json and - both want the standard output: name a file")}
	}
	var finish func() error
	if s.transcript, finish, err = f.transcriptFlag.open(cmd.ErrOrStderr()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish()) }()
	p := newProgress(cmd, s, f.json)
	defer p.close()
	fl, err := s.flasher(cmd, append(f.overrideFlags.options(), flasher.WithPowerOff(!f.keepOn), flasher.WithProgress(p.event))...)
	if err != nil {
		return err
	}
	w, done, err := f.open(cmd, file)
	if err != nil {
		return usageError{err}
	}
	var opts []flasher.DumpOption
	for _, o := range []struct {
		set bool
		opt flasher.DumpOption
	}{
		{f.partition != "", flasher.DumpPartition(f.partition)}, {f.used, flasher.DumpUsed()}, {f.from != 0, flasher.DumpFrom(f.from)},
		{f.compression != "", flasher.DumpCompression(f.compression)}, {f.bundle != "", flasher.DumpBundle(f.bundle)},
	} {
		if o.set {
			opts = append(opts, o.opt)
		}
	}
	res, err := fl.Dump(cmd.Context(), f.target, w, opts...)
	p.close()
	if err != nil && res != nil && res.Bytes > 0 && file != "-" {
		err = fmt.Errorf("%w\n(%d bytes are in %s and proved; go on with --from %[2]d)", err, f.from+res.Bytes, file)
	}
	err = errors.Join(err, done(err != nil))
	if f.json {
		return errorsFirst(err, printResult(cmd, res, err))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d bytes from offset %d, proved, sha256 %s, in %v\n", res.Device, res.Bytes, res.Offset, res.SHA256, res.Elapsed.Round(time.Second))
	return nil
}

// open opens the file for the dump. done completes it. Where the dump failed before its
// first byte, the file is what it was before: not there, or with --force the old one.
func (f *dumpFlags) open(cmd *cobra.Command, name string) (w io.Writer, done func(failed bool) error, err error) {
	if name == "-" {
		return cmd.OutOrStdout(), func(bool) error { return nil }, nil
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, nil, fmt.Errorf("%s is a directory: name a file for the dump", name)
	}
	mode := os.O_WRONLY
	if f.from == 0 {
		mode |= os.O_CREATE | os.O_EXCL
	}
	file, err := os.OpenFile(name, mode, 0o644)
	created := err == nil && f.from == 0
	if errors.Is(err, os.ErrExist) && f.force {
		file, err = os.OpenFile(name, os.O_WRONLY, 0o644)
	}
	if err != nil {
		switch {
		case errors.Is(err, os.ErrNotExist) && f.from > 0:
			err = fmt.Errorf("%w (--from goes on with a dump that is there in part)", err)
		case errors.Is(err, os.ErrExist):
			err = fmt.Errorf("%w (overwrite it with --force, or go on with --from)", err)
		}
		return nil, nil, err
	}
	if f.from > 0 {
		size, err := file.Seek(0, io.SeekEnd)
		if err == nil && size != f.from {
			err = fmt.Errorf("%s has %d bytes, and --from is %d: they must be the same", name, size, f.from)
		}
		if err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
	}
	h := &holes{file: file, at: f.from, old: f.from == 0 && !created}
	return h, func(failed bool) error {
		if !failed || h.at > f.from {
			return h.close()
		}
		err := file.Close()
		if created {
			err = errors.Join(err, os.Remove(name))
		}
		return err
	}, nil
}

// holes writes blocks of zeros as holes.
type holes struct {
	file *os.File
	at   int64
	old  bool // what is in the file goes before the first byte
}

func (h *holes) Write(p []byte) (int, error) {
	if h.old {
		if err := h.file.Truncate(0); err != nil {
			return 0, err
		}
		h.old = false
	}
	zero := true
	for _, b := range p {
		if b != 0 {
			zero = false
			break
		}
	}
	if !zero {
		if _, err := h.file.WriteAt(p, h.at); err != nil {
			return 0, err
		}
	}
	h.at += int64(len(p))
	return len(p), nil
}

func (h *holes) close() error { return errors.Join(h.file.Truncate(h.at), h.file.Close()) }
