package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// raw says whether the file needs no decoding.
func (l *localFile) raw() bool {
	head := make([]byte, sniffLen)
	n, err := l.file.ReadAt(head, 0)
	if n == 0 || err != nil && err != io.EOF {
		return false // whoever decodes it says so
	}
	format, err := detect(head[:n])
	return format == FormatRaw && err == nil
}

// inPlace prepares a raw local file where it is: its bytes are read once for
// the digests, which go into the cache, and not copied. Since others may write
// to the file, each chunk is verified whenever it is read.
func (p *Prepared) inPlace(ctx context.Context, cache *cache, l *localFile, info Info, want string) error {
	p.files.Lock()
	p.file, p.verified = l.file, newVerifiedFile(l.file, p.c.chunk, func() {
		os.Remove(cache.path(mapRef(info.Identity, p.c.chunk))) // so that it is read anew the next time
	})
	p.files.Unlock()
	if info.Size > p.c.maxSize {
		return tooLarge(p.c.maxSize)
	}
	p.change(func() { p.size, p.formats = info.Size, []Format{FormatRaw} })
	s := newSink(p, info.Size)
	defer s.stop()
	// A block map is about the bytes, so they are read again.
	if m := cache.findMap(info.Identity, p.c.chunk); m != nil && m.Size == info.Size && p.blocks == nil {
		if want != "" && want != m.SHA256 {
			return wrongSum(want, m.SHA256)
		}
		s.chunks = m.chunks()
		p.change(func() { p.chunks, p.avail = s.chunks, m.Size })
		p.finish(s, m)
		s.c.progress(Progress{SourceSize: info.Size, RawBytes: m.Size, Cached: true})
		p.c.log.Info("found the digests of the raw image in the cache", "source", info.Name, "size", m.Size)
		return nil
	}
	mapped := s.verifyBmap(p.blocks)
	at := &randomAccess{r: l.file, size: info.Size}
	s.read = at.n.Load
	size, err := s.fill(ctx, io.NewSectionReader(at, 0, info.Size))
	if changed := l.unchanged(); changed != nil {
		return changed
	}
	sum := hex.EncodeToString(s.raw.Sum(nil))
	if err == nil && want != "" && want != sum {
		err = wrongSum(want, sum)
	}
	if err == nil {
		err = mapped()
	}
	if err != nil {
		return err
	}
	m := newMeta(s, p.c.chunk, sum, size, size, []Format{FormatRaw})
	if err := cache.putMap(ctx, m, info.Identity); err != nil {
		p.c.log.Warn("the digests of the raw image are not kept", "source", info.Name, "err", err)
	}
	p.finish(s, m)
	cache.evict(p.c.cacheLimit)
	return nil
}

// newMeta says what is known about the image that went through s.
func newMeta(s *sink, chunk int64, sourceSHA string, sourceSize, size int64, formats []Format) *meta {
	m := &meta{Version: metaVersion, SourceSHA256: sourceSHA, SourceSize: sourceSize, SHA256: hex.EncodeToString(s.raw.Sum(nil)),
		Size: size, Data: s.data, ChunkSize: chunk, Formats: formats}
	for _, c := range s.chunks {
		sum := ""
		if !c.Zero {
			sum = hex.EncodeToString(c.SHA256[:])
		}
		m.Chunks = append(m.Chunks, sum)
	}
	return m
}

// chunks are those that the digests in m are of.
func (m *meta) chunks() []Chunk {
	zeros := make([]byte, m.ChunkSize)
	whole := sha256.Sum256(zeros)
	all := make([]Chunk, len(m.Chunks))
	for i, sum := range m.Chunks {
		c := Chunk{Offset: int64(i) * m.ChunkSize, Zero: sum == ""}
		c.Size = min(m.ChunkSize, m.Size-c.Offset)
		switch {
		case !c.Zero:
			hex.Decode(c.SHA256[:], []byte(sum)) // readMeta has looked at it
		case c.Size == m.ChunkSize:
			c.SHA256 = whole
		default:
			c.SHA256 = sha256.Sum256(zeros[:c.Size])
		}
		all[i] = c
	}
	return all
}

// mapRef is the name of the ref to the map of a raw file. It says "map-ID" so
// that it is not mistaken for one to an image in the cache.
func mapRef(identity string, chunk int64) string {
	return refName(strings.Join([]string{"in place", identity, strconv.FormatInt(chunk, 10)}, "\n"))
}

// findMap returns what is known about a raw file that is not in the cache, nil
// if nothing is.
func (c *cache) findMap(identity string, chunk int64) *meta {
	b, err := os.ReadFile(c.path(mapRef(identity, chunk)))
	id, ok := bytes.CutPrefix(bytes.TrimSpace(b), []byte("map-"))
	if err != nil || !ok || bytes.ContainsAny(id, `/\`) {
		return nil
	}
	path := c.path(string(id) + ".map")
	m, err := readMeta(path)
	if err != nil || m.SHA256 != m.SourceSHA256 || m.ChunkSize != chunk || entryID(m.SHA256, chunk) != string(id) ||
		!slices.Equal(m.Formats, []Format{FormatRaw}) {
		if !errors.Is(err, os.ErrNotExist) {
			c.log.Warn("the kept digests of a raw image are not usable", "file", path, "err", err)
		}
		return nil
	}
	now := time.Now()
	os.Chtimes(path, now, now) // for least recently used
	return m
}

// putMap keeps what is known about a raw file.
func (c *cache) putMap(ctx context.Context, m *meta, identity string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	g, err := c.global(ctx, false)
	if err != nil {
		return err
	}
	defer g.unlock()
	id := entryID(m.SHA256, m.ChunkSize)
	if err := c.write(id+".map", b); err != nil {
		return err
	}
	return c.write(mapRef(identity, m.ChunkSize), []byte("map-"+id))
}

// keptMaps is how many maps of raw files a cache keeps. One of a 16 GB image
// takes about 250 kB.
const keptMaps = 200

// evictMaps removes the least recently used maps of raw files. They are read at
// once, so nobody uses them for longer.
func (c *cache) evictMaps() {
	files, _ := filepath.Glob(c.path("*.map"))
	if len(files) <= keptMaps {
		return
	}
	used := map[string]time.Time{}
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			used[f] = st.ModTime()
		}
	}
	slices.SortFunc(files, func(a, b string) int { return used[a].Compare(used[b]) })
	for _, f := range files[:len(files)-keptMaps] {
		os.Remove(f)
		c.dropRefs("map-" + strings.TrimSuffix(filepath.Base(f), ".map"))
	}
}
