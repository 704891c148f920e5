package image

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dutflash/dutflash/internal/gpt"
)

// Report is what [Inspect] finds in an image.
type Report struct {
	Name       string
	SourceSize int64 // bytes as stored
	Formats    []Format
	RawSize    int64
	ZeroBytes  int64 // in stretches of 64 KiB that are all zero
	// SourceSHA256 and SHA256 are the digests of the file as stored and of the
	// raw bytes, in hex.
	SourceSHA256, SHA256 string
	// Table is nil where there is no partition table; FileSystem is then that
	// of the whole image, "" if none is known.
	Table      *Table
	FileSystem string
	// Problems are things that are wrong inside the image, such as a partition
	// that ends behind it, for a person to read.
	Problems []string
}

// Table is a partition table.
type Table struct {
	Kind       string // "gpt" or "mbr"
	ID         string
	SectorSize int64 // bytes
	Partitions []Partition
}

// Partition is an entry of a [Table].
type Partition struct {
	Number       int
	Label        string // GPT only
	Type         string // GUID, or a number such as 0x83
	Offset, Size int64  // bytes
	FileSystem   string // by magic number, "" if none is known
}

// Inspect reads an image to its end, without any disk, and says what it is. All
// checks that the formats carry are made; damage is an error as it is for
// [Stream]. Of the options, those about the cache are errors.
func Inspect(ctx context.Context, src Source, opts ...PrepareOption) (*Report, error) {
	s, err := Stream(ctx, src, opts...)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	in := &inspector{}
	buf := make([]byte, hole)
	for {
		n, err := io.ReadFull(s, buf)
		in.take(buf[:n])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	in.finish()
	r := &Report{Name: s.info.Name, SourceSize: s.SourceSize(), Formats: s.Formats(), RawSize: in.off, ZeroBytes: in.zero,
		SourceSHA256: s.SourceSHA256(), SHA256: s.SHA256(), Problems: append(s.Warnings(), in.problems...)}
	if in.table == nil {
		r.FileSystem = gpt.FileSystem(in.head)
		return r, nil
	}
	r.Table = &Table{Kind: in.table.Kind, ID: in.table.ID, SectorSize: in.table.SectorSize}
	for _, p := range in.parts {
		if p.Offset+p.Size > in.off {
			r.Problems = append(r.Problems, fmt.Sprintf("partition %d ends at byte %d, the image has %d", p.Number, p.Offset+p.Size, in.off))
		}
		r.Table.Partitions = append(r.Table.Partitions, Partition{Number: p.Number, Label: p.Label, Type: p.Type,
			Offset: p.Offset, Size: p.Size, FileSystem: gpt.FileSystem(p.head)})
	}
	return r, nil
}

// inspector picks the interesting bytes out of a stream.
type inspector struct {
	off, zero int64
	head      []byte
	table     *gpt.Table
	parsed    bool
	parts     []*probe
	chain     *probe // boot record of the next logical partition
	base      int64  // of the extended partition
	problems  []string
}

// probe collects the first bytes of a partition.
type probe struct {
	gpt.Partition
	head []byte
	max  int
}

func (p *probe) take(b []byte, off int64) {
	at := p.Offset + int64(len(p.head))
	if len(p.head) < p.max && at >= off && at < off+int64(len(b)) {
		b = b[at-off:]
		p.head = append(p.head, b[:min(len(b), p.max-len(p.head))]...)
	}
}

func (in *inspector) take(b []byte) {
	if isZero(b) {
		in.zero += int64(len(b))
	}
	if len(in.head) < 1<<20 {
		in.head = append(in.head, b[:min(len(b), 1<<20-len(in.head))]...)
	}
	if !in.parsed && len(in.head) >= gpt.ProbeSize {
		in.parse(in.head[:len(in.head)-len(b)])
	}
	in.feed(b, in.off)
	in.off += int64(len(b))
}

func (in *inspector) feed(b []byte, off int64) {
	for _, p := range in.parts {
		p.take(b, off)
	}
	for in.chain != nil {
		before := in.chain
		in.chain.take(b, off)
		in.logical()
		if in.chain == before {
			return
		}
	}
}

// parse reads the table; before is what of the head feed does not get any more.
func (in *inspector) parse(before []byte) {
	in.parsed = true
	t, err := gpt.Parse(in.head)
	in.table = t
	if err != nil {
		in.problems = append(in.problems, err.Error())
	}
	if t == nil {
		return
	}
	for _, p := range t.Partitions {
		in.parts = append(in.parts, &probe{Partition: p, max: gpt.ProbeSize})
		if t.Kind == "mbr" && p.Extended() && in.chain == nil {
			in.base = p.Offset
			in.chain = &probe{Partition: gpt.Partition{Offset: p.Offset}, max: 512}
		}
	}
	in.feed(before, 0)
}

// logical goes one step along the chain when the next record is there.
func (in *inspector) logical() {
	c := in.chain
	if len(c.head) < c.max {
		return
	}
	in.chain = nil
	p, ok, next := gpt.Logical(c.head, c.Offset, in.base)
	number := 5
	for _, q := range in.parts {
		number = max(number, q.Number+1)
	}
	if ok {
		p.Number = number
		in.parts = append(in.parts, &probe{Partition: p, max: gpt.ProbeSize})
	}
	// A chain that leads back would never end.
	if next > c.Offset && number < 128 {
		in.chain = &probe{Partition: gpt.Partition{Offset: next}, max: 512}
	}
}

func (in *inspector) finish() {
	if !in.parsed {
		in.parse(in.head)
	}
	slices.SortStableFunc(in.parts, func(a, b *probe) int { return a.Number - b.Number })
}

// String returns the report as lines for a person.
func (r *Report) String() string {
	var b strings.Builder
	var chain []string
	for _, f := range r.Formats {
		chain = append(chain, string(f))
	}
	fmt.Fprintf(&b, "%s: %s, %d bytes, raw %d bytes, %d of them zero\n", r.Name, strings.Join(chain, " > "), r.SourceSize, r.RawSize, r.ZeroBytes)
	fmt.Fprintf(&b, "sha256 as stored %s\nsha256 raw       %s\n", r.SourceSHA256, r.SHA256)
	if r.FileSystem != "" {
		fmt.Fprintf(&b, "file system %s\n", r.FileSystem)
	}
	if r.Table != nil {
		fmt.Fprintf(&b, "partition table %s %s, sectors of %d bytes\n", r.Table.Kind, r.Table.ID, r.Table.SectorSize)
		for _, p := range r.Table.Partitions {
			fmt.Fprintf(&b, "  %d: offset %d, size %d, type %s, label %q, %s\n", p.Number, p.Offset, p.Size, p.Type, p.Label, p.FileSystem)
		}
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "problem: %s\n", p)
	}
	return b.String()
}
