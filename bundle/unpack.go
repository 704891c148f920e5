package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

// unpack returns the files of a folder layer, each of which is a blob of the
// store of its own. Entry names never become file names on this machine.
// budget is what all folder layers together may still unpack to.
func (p *puller) unpack(ctx context.Context, l layer, content *cached, budget *int64) (blobstore.Tree, error) {
	if tree, ok := p.store.Tree(l.Digest); ok && p.treeComplete(ctx, tree, l, content) {
		for _, f := range tree.Files {
			*budget -= f.Size
		}
		if *budget < 0 {
			return tree, fmt.Errorf("%w: the folders unpack to more than %d bytes", ErrTooLarge, p.c.limits.Size)
		}
		return tree, nil
	}
	f, _, err := p.store.Open(l.Digest)
	if err != nil {
		return blobstore.Tree{}, err
	}
	defer f.Close()

	limit := *budget
	bomb := max(bombFloor, bombRatio*l.Size)
	meter := &meter{left: min(limit, bomb)}
	if limit <= bomb {
		meter.err = fmt.Errorf("%w: the folders unpack to more than %d bytes", ErrTooLarge, p.c.limits.Size)
	} else {
		meter.err = fmt.Errorf("%w: %d bytes unpack to more than %d, which looks like a decompression bomb", ErrTooLarge, l.Size, bomb)
	}
	in := bufio.NewReaderSize(blobstore.ContextReader(ctx, f), 256<<10)
	var done func()
	if meter.r, done, err = decompress(in); err != nil {
		return blobstore.Tree{}, err
	}
	defer done()
	whole := io.Reader(meter)
	var sum digest.Verifier
	if want, ok := l.Annotations[annotationTarContent]; ok {
		d, err := digest.Parse(want)
		if err != nil {
			return blobstore.Tree{}, fmt.Errorf("annotation %s: %q: %w", annotationTarContent, clip(want), err)
		}
		sum = d.Verifier()
		whole = io.TeeReader(meter, sum)
	}
	tree, err := p.extract(l, whole, content, *meter)
	if err != nil {
		return tree, err
	}
	if _, err := io.Copy(io.Discard, whole); err != nil {
		return tree, err
	}
	if sum != nil && !sum.Verified() {
		return tree, fmt.Errorf("%w: the tar inside does not have digest %s", ErrDigest, clip(l.Annotations[annotationTarContent]))
	}
	for _, f := range tree.Files {
		*budget -= f.Size
	}
	return tree, p.store.PutTree(tree)
}

// maxZstdWindow bounds what unpacking takes of memory. It is what the format's
// description asks every decoder to support (RFC 8878, 3.1.1.1.2), and what the
// zstd command writes at every level without --ultra or --long.
const maxZstdWindow = 8 << 20

// decompress tells by the magic number how a folder is packed: gzip, zstd, or
// not at all. The media type is not asked, as some tools do not set it.
func decompress(in *bufio.Reader) (io.Reader, func(), error) {
	magic, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		gz, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, err
		}
		return gz, func() { gz.Close() }, nil
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		zs, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, err
		}
		return zs, zs.Close, nil
	}
	return in, func() {}, nil
}

// treeComplete checks that what was unpacked earlier is all there and intact.
func (p *puller) treeComplete(ctx context.Context, tree blobstore.Tree, l layer, content *cached) bool {
	for _, f := range tree.Files {
		if within(f.Path, l.title) != nil {
			return false // the same layer under another title
		}
		st, err := p.store.Verify(ctx, f.Digest, f.Size)
		if err != nil {
			return false
		}
		content.mark(f.Digest, st)
	}
	return true
}

// extract reads the tar. room bounds the files: they can be larger than the tar
// itself, because a sparse file there has holes.
func (p *puller) extract(l layer, r io.Reader, content *cached, room meter) (blobstore.Tree, error) {
	tree := blobstore.Tree{Layer: l.Digest}
	seen := map[string]bool{}
	entries := 0
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return tree, nil
		}
		if err != nil {
			return tree, err
		}
		if entries++; entries > 2*p.c.limits.Files {
			return tree, fmt.Errorf("%w: more than %d entries", ErrTooLarge, 2*p.c.limits.Files)
		}
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			if h.Typeflag == tar.TypeDir && path.Clean(h.Name) != l.title {
				if err := within(cleanEntry(h.Name), l.title); err != nil {
					return tree, err
				}
			}
			continue
		case tar.TypeReg:
		case tar.TypeSymlink, tar.TypeLink:
			return tree, fmt.Errorf("%w: %q is a link to %q; links are not allowed in a bundle", ErrUnsafePath, clip(h.Name), clip(h.Linkname))
		default:
			return tree, fmt.Errorf("%w: %q is no regular file (tar type %q)", ErrUnsafePath, clip(h.Name), h.Typeflag)
		}
		name := cleanEntry(h.Name)
		if err := within(name, l.title); err != nil {
			return tree, err
		}
		if seen[name] {
			return tree, fmt.Errorf("%w: %q is in the tar twice", ErrDuplicatePath, name)
		}
		seen[name] = true
		if len(seen) > p.c.limits.Files {
			return tree, fmt.Errorf("%w: more than %d files", ErrTooLarge, p.c.limits.Files)
		}
		if room.left -= h.Size; room.left < 0 {
			return tree, fmt.Errorf("%q: %w", name, room.err)
		}
		f, err := p.ingest(tr, content)
		if err != nil {
			return tree, fmt.Errorf("%q: %w", name, err)
		}
		f.Path = name
		tree.Files = append(tree.Files, f)
	}
}

func (p *puller) ingest(r io.Reader, content *cached) (blobstore.TreeFile, error) {
	var f blobstore.TreeFile
	w, err := p.store.Create(digest.SHA256)
	if err != nil {
		return f, err
	}
	w.Derived = true
	if _, err := io.CopyBuffer(w, r, make([]byte, 256<<10)); err != nil {
		return f, errors.Join(err, w.Abort())
	}
	f.Digest, f.Size = w.Digest(), w.Size()
	st, err := w.Commit("", 0)
	if err != nil {
		return f, err
	}
	content.mark(f.Digest, st)
	return f, nil
}

// cleanEntry drops "./" in front and "/" behind, and nothing else.
func cleanEntry(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
}

// within checks that a tar entry lies in its folder.
func within(name, folder string) error {
	if folder == "." && name == "." {
		return nil
	}
	if err := checkPath(name); err != nil {
		return err
	}
	if folder != "." && name != folder && !strings.HasPrefix(name, folder+"/") {
		return fmt.Errorf("%w: %q is outside of its folder %q", ErrUnsafePath, name, folder)
	}
	return nil
}

// meter stops a stream that gets too long.
type meter struct {
	r    io.Reader
	left int64
	err  error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, m.err
	}
	return n, err
}
