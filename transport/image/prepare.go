package image

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// run does the work of Prepare. An image that is replaced before anything of it was
// read is looked at anew. Where that does not help, the server tells something else
// each time: what it gives is taken, and not found again in the cache.
func (p *Prepared) run(ctx context.Context) error {
	for n := 1; ; n++ {
		err := p.once(ctx, n > maxReplaced)
		var other *replaced
		if !errors.As(err, &other) {
			return err
		}
		p.c.log.Warn("the image is another one than the server told before, asking again", "err", other)
		p.reset()
	}
}

func (p *Prepared) once(ctx context.Context, anonymous bool) error {
	info, err := p.src.Info(ctx)
	if err != nil {
		return fail("open", "", err)
	}
	if anonymous {
		info.Identity = ""
	}
	want, err := p.c.wanted(info.Name)
	if err != nil {
		return fail("prepare", info.Name, err)
	}
	if p.blocks, err = findBmap(ctx, p.src, p.c); err != nil {
		return fail("read the block map of", info.Name, err)
	}
	if err := p.prepare(ctx, info, want); err != nil {
		p.release()
		return fail("prepare", info.Name, err)
	}
	return nil
}

func (p *Prepared) prepare(ctx context.Context, info Info, want string) error {
	dir, err := p.c.dir()
	if err != nil {
		return err
	}
	cache, err := openCache(ctx, dir, p.c.log)
	if err != nil {
		return err
	}
	if l, err := openLocal(ctx, p.src, info); err != nil {
		return err
	} else if l != nil {
		if l.raw() {
			return p.inPlace(ctx, cache, l, info, want)
		}
		l.file.Close()
	}
	key := flightKey(info, p.c.chunk)
	for {
		if ok, err := p.find(ctx, cache, info, want); ok || err != nil {
			return err
		}
		part, err := cache.claim(ctx, key)
		if err != nil {
			return err
		}
		if part == nil {
			if ok, err := p.follow(ctx, cache, key, info, want); ok || err != nil {
				return err
			}
			continue
		}
		// It may have been finished while it was being claimed.
		e, err := cache.find(ctx, info.Identity, info.SHA256, p.c.chunk)
		if err == nil && e == nil {
			return p.fromSource(ctx, cache, part, info, want)
		}
		part.file.Close()
		part.remove()
		if err != nil {
			return err
		}
		e.lock.Unlock()
	}
}

// find takes the image from the cache, if it is there.
func (p *Prepared) find(ctx context.Context, cache *cache, info Info, want string) (bool, error) {
	e, err := cache.find(ctx, info.Identity, info.SHA256, p.c.chunk)
	if e == nil || err != nil {
		return false, err
	}
	return p.fromCache(ctx, cache, e, want)
}

// fromCache verifies an entry and adopts it. It returns false where the entry
// is damaged and has been removed.
func (p *Prepared) fromCache(ctx context.Context, cache *cache, e *entry, want string) (bool, error) {
	m := e.meta
	f, err := os.Open(e.path)
	if err != nil {
		cache.forget(e)
		e.lock.Unlock()
		return false, nil
	}
	p.files.Lock()
	p.file, p.entry = f, e
	p.files.Unlock()
	if want != "" && want != m.SourceSHA256 {
		return false, wrongSum(want, m.SourceSHA256)
	}
	if m.Size > p.c.maxSize {
		return false, tooLarge(p.c.maxSize)
	}
	st, err := f.Stat()
	if err != nil || st.Size() != m.Size {
		return false, p.damaged(cache, e, fmt.Errorf("its size is wrong (%v)", err))
	}
	p.change(func() { p.size, p.formats = m.Size, m.Formats })
	s := newSink(p, m.SourceSize)
	s.cached = m
	defer s.stop()
	mapped := s.verifyBmap(p.blocks)
	_, err = s.fill(ctx, io.NewSectionReader(f, 0, m.Size))
	if err == nil {
		err = mapped()
	}
	if err == nil && hex.EncodeToString(s.raw.Sum(nil)) != m.SHA256 {
		err = fmt.Errorf("%w: the digest of the whole image differs", ErrCorrupt)
	}
	if errors.Is(err, errCached) || errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrChecksum) {
		return false, p.damaged(cache, e, err)
	}
	if err != nil {
		return false, err
	}
	p.c.log.Info("found the prepared image in the cache", "sha256", m.SHA256, "size", m.Size)
	p.finish(s, m)
	return true, nil
}

// damaged drops an entry of the cache; the caller starts anew.
func (p *Prepared) damaged(cache *cache, e *entry, why error) error {
	p.c.log.Warn("a cached image is damaged, it is prepared anew", "file", e.path, "err", why)
	cache.forget(e)
	p.reset()
	return nil
}

func (p *Prepared) finish(s *sink, m *meta) {
	var mapped []Extent
	if p.blocks != nil {
		mapped = []Extent{}
		for _, r := range p.blocks.Ranges {
			mapped = append(mapped, Extent{r.Offset, r.Size})
		}
	}
	p.change(func() {
		p.mapped = mapped
		p.size, p.sha, p.sourceSHA, p.formats, p.chunks = m.Size, m.SHA256, m.SourceSHA256, m.Formats, s.chunks
	})
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: more than %d raw bytes, the limit that WithMaxSize sets", ErrTooLarge, limit)
}

func (p *Prepared) fromSource(ctx context.Context, cache *cache, part *part, info Info, want string) error {
	p.files.Lock()
	p.file, p.part = part.file, part
	p.files.Unlock()

	s := newSink(p, info.Size)
	defer s.stop()
	var size int64
	var formats []Format
	in, err := decode(ctx, p.src, info, p.c, want, func(rd *Reader, in *stored) error {
		formats = rd.Formats()
		p.change(func() {
			p.formats = formats
			if len(formats) == 1 {
				p.size = info.Size // what is raw has the size of the file
			}
		})
		s.read = in.position
		s.out, s.dir = part.file, cache.dir
		mapped := s.verifyBmap(p.blocks)
		var err error
		if size, err = s.fill(ctx, rd); err != nil {
			return err
		}
		return mapped()
	})
	if err != nil {
		return err
	}
	if err := part.file.Sync(); err != nil {
		return diskError(err, cache.dir)
	}
	m := newMeta(s, p.c.chunk, in.hex(), in.n.Load(), size, formats)
	if err := p.publish(ctx, cache, m, info.Identity); err != nil {
		return err
	}
	p.finish(s, m)
	cache.evict(p.c.cacheLimit)
	return nil
}

// publish moves the file into the cache. Windows moves no open file, so it is
// closed and opened again, while readers wait.
func (p *Prepared) publish(ctx context.Context, cache *cache, m *meta, identity string) error {
	p.files.Lock()
	defer p.files.Unlock()
	part := p.part
	p.file.Close()
	p.file, p.part = nil, nil
	e, err := cache.publish(ctx, part, m, identity)
	if err != nil {
		part.remove()
		return err
	}
	f, err := os.Open(e.path)
	if err != nil {
		e.lock.Unlock()
		return err
	}
	p.file, p.entry = f, e
	return nil
}
