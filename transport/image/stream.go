package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
)

// RawStream is an image that is read once from its start, without any disk.
// What that costs: no access at an offset, no chunks to compare a board with,
// no retry but from the start, and checksums that are known only when all bytes
// are gone. Read must not be called concurrently; Close may be called at any
// time.
type RawStream struct {
	info   Info
	want   string
	c      *prepareConfig
	cancel context.CancelCauseFunc
	in     *stored
	rd     *Reader
	sum    hash.Hash
	n      int64
	err    error
	mu     sync.Mutex
	raw    string
	source string
	size   int64
}

// Stream opens an image for reading once. [WithCacheDir], [WithCacheLimit],
// [WithChunkSize] and [WithBmap] are errors here; a block map beside the image
// is not looked for. The end of ctx ends the stream.
func Stream(ctx context.Context, src Source, opts ...PrepareOption) (*RawStream, error) {
	c, err := newPrepareConfig(opts)
	if err == nil && src == nil {
		err = fmt.Errorf("%w: the source is nil", ErrInvalid)
	}
	if err == nil && (c.cacheDir != "" || c.cacheLimit != DefaultCacheLimit || c.chunk != DefaultChunkSize || c.bmap != nil) {
		err = fmt.Errorf("%w: a stream has no cache, no chunks and no block map", ErrInvalid)
	}
	if err != nil {
		return nil, fail("stream", "", err)
	}
	info, err := src.Info(ctx)
	if err != nil {
		return nil, fail("open", "", err)
	}
	s := &RawStream{info: info, c: c, sum: sha256.New(), size: info.Size}
	if s.want, err = c.wanted(info.Name); err != nil {
		return nil, fail("stream", info.Name, err)
	}
	ctx, s.cancel = context.WithCancelCause(ctx)
	if s.in, err = openStored(ctx, src, info); err != nil {
		s.cancel(nil)
		return nil, fail("open", info.Name, err)
	}
	if s.rd, err = NewReader(s.in, append(s.in.options(c), onRefusal(func(error) { s.in.Close() }))...); err != nil {
		s.in.Close()
		s.cancel(nil)
		return nil, err
	}
	return s, nil
}

// Read implements io.Reader. io.EOF comes only when all checks have passed,
// those of [WithSHA256] and [WithSHA256File] too.
func (s *RawStream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.rd.Read(p)
	s.sum.Write(p[:n])
	s.n += int64(n)
	if s.n > s.c.maxSize {
		err = tooLarge(s.c.maxSize)
	}
	if err == io.EOF {
		if end := s.finish(); end != nil {
			err = end
		}
	}
	if n > 0 {
		s.c.progress(Progress{SourceBytes: s.in.position(), SourceSize: s.info.Size, RawBytes: s.n})
	}
	if err != nil && err != io.EOF {
		err = fail("stream", s.info.Name, err)
	}
	s.err = err
	return n, err
}

func (s *RawStream) finish() error {
	s.rd.Close()
	if err := s.in.verify(s.want); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw, s.source, s.size = hex.EncodeToString(s.sum.Sum(nil)), s.in.hex(), s.in.n.Load()
	return nil
}

// Formats returns the chain of formats.
func (s *RawStream) Formats() []Format { return s.rd.Formats() }

// Warnings returns what [Reader.Warnings] does.
func (s *RawStream) Warnings() []string { return s.rd.Warnings() }

// SHA256 returns the digest of the raw bytes in hex, "" until Read has returned
// io.EOF.
func (s *RawStream) SHA256() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw
}

// SourceSHA256 returns the digest of the file as stored in hex, "" until Read
// has returned io.EOF.
func (s *RawStream) SourceSHA256() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source
}

// SourceSize returns the size of the file as stored, -1 until it is known.
func (s *RawStream) SourceSize() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Close ends the stream and its goroutines. It is idempotent.
func (s *RawStream) Close() error {
	s.cancel(ErrClosed)
	s.in.Close()
	return s.rd.Close()
}
