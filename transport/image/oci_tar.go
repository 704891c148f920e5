package image

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// largeMember is the size from which a file in a layer is taken for a disk
// image though neither its name nor its start say so.
const largeMember = 16 << 20

// member is the disk image in a tar layer. The rest of the layer is read too
// before the end is reported: it may hold another one, and the digest of the
// layer is known only then.
type member struct {
	blob  *verified
	rd    *Reader
	tar   *tar.Reader
	ref   string
	name  string
	cur   io.Reader
	other []string
	err   error
}

func openMember(rc io.ReadCloser, d ocispec.Descriptor, ref string) (io.ReadCloser, error) {
	m := &member{blob: verify(rc, d), ref: ref}
	rd, err := NewReader(m.blob, DecodeName("layer of "+ref), func(c *readerConfig) error { c.tar = true; return nil }, onRefusal(func(error) { rc.Close() }))
	if err != nil {
		return nil, err
	}
	m.rd, m.tar = rd, tar.NewReader(rd)
	if m.name, m.cur, err = m.next(); err == io.EOF {
		err = fmt.Errorf("%w: the layer of %s has no disk image, only: %s", ErrNotFound, ref, strings.Join(m.other, ", "))
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// next goes to the next file that looks like a disk image.
func (m *member) next() (string, io.Reader, error) {
	for {
		h, err := m.tar.Next()
		if err != nil {
			return "", nil, m.damage(err)
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 {
			continue
		}
		buf := bufio.NewReaderSize(m.tar, 64<<10)
		head, err := buf.Peek(sniffLen)
		if err != nil && err != io.EOF {
			return "", nil, m.damage(err)
		}
		format, refused := detect(head)
		boot := len(head) >= 512 && head[510] == 0x55 && head[511] == 0xaa
		if diskName(h.Name) || h.Size >= largeMember || refused == nil && (format != FormatRaw || boot) {
			return h.Name, buf, nil
		}
		if len(m.other) < 20 {
			m.other = append(m.other, h.Name)
		}
	}
}

func (m *member) damage(err error) error {
	if errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("%w: the tar layer of %s: %w", ErrCorrupt, m.ref, err)
	}
	if err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: the tar layer of %s", ErrTruncated, m.ref)
	}
	return err
}

func (m *member) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.cur.Read(p)
	if err == io.EOF {
		err = m.finish()
	} else if err != nil {
		err = m.damage(err)
	}
	m.err = err
	return n, err
}

func (m *member) finish() error {
	found := []string{m.name}
	for {
		name, _, err := m.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if found = append(found, name); len(found) > 20 {
			break
		}
	}
	if len(found) > 1 {
		return fmt.Errorf("%w: the layer of %s has %s", ErrAmbiguous, m.ref, strings.Join(found, ", "))
	}
	if _, err := io.Copy(io.Discard, m.rd); err != nil { // padding of the archive
		return err
	}
	m.rd.Close()
	if _, err := io.Copy(io.Discard, m.blob); err != nil {
		return err
	}
	return io.EOF
}

func (m *member) Close() error {
	m.blob.Close()
	return m.rd.Close()
}
