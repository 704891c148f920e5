package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

var errStalled = errors.New("no data came for too long")

// download brings one blob into the store. A connection that breaks is taken
// up again where it stopped, where the source can do that.
func download(ctx context.Context, src source, store *blobstore.Store, d ocispec.Descriptor, title string, c *config) (blobstore.Stamp, error) {
	w, err := store.Create(d.Digest.Algorithm())
	if err != nil {
		return blobstore.Stamp{}, err
	}
	for attempt := 0; ; attempt++ {
		err = receive(ctx, src, w, d, title, c)
		if err == nil {
			break
		}
		if ctx.Err() != nil || attempt >= c.retries || !broken(err) {
			if broken(err) && ctx.Err() == nil && !errors.Is(err, ErrUnreachable) {
				err = fmt.Errorf("%w: %w", ErrUnreachable, tidy(err))
			}
			return blobstore.Stamp{}, errors.Join(err, w.Abort())
		}
		c.logger.Debug("transfer broke, trying again", "path", title, "at", w.Size(), "err", tidy(err).Error())
		if err := pause(ctx, attempt); err != nil {
			return blobstore.Stamp{}, errors.Join(err, w.Abort())
		}
	}
	return w.Commit(d.Digest, d.Size)
}

// pause waits before another try: 0.2 s, doubled each time, at most 3 s, with
// some randomness so that many clients do not come back at once.
func pause(ctx context.Context, attempt int) error {
	d := min(200*time.Millisecond<<min(attempt, 5), 3*time.Second)
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// receive copies what is still missing, and not a byte more than announced.
func receive(ctx context.Context, src source, w *blobstore.Writer, d ocispec.Descriptor, title string, c *config) error {
	ctx, alive, done := guard(ctx, c.stall)
	defer done()

	rc, err := src.fetch(ctx, d)
	if err != nil {
		return orStalled(ctx, err)
	}
	defer rc.Close()
	if w.Size() > 0 {
		seeker, ok := rc.(io.Seeker)
		if ok {
			_, err = seeker.Seek(w.Size(), io.SeekStart)
		}
		if !ok || err != nil {
			if err := w.Reset(); err != nil {
				return err
			}
		}
	}
	buf := make([]byte, 256<<10)
	reported := w.Size()
	for {
		n, err := rc.Read(buf)
		alive()
		if w.Size()+int64(n) > d.Size {
			return fmt.Errorf("%w: more than the %d bytes that its descriptor announces", ErrDigest, d.Size)
		}
		if _, werr := w.Write(buf[:n]); werr != nil {
			return fmt.Errorf("write to the cache: %w", werr)
		}
		if w.Size()-reported >= 1<<20 || err != nil && w.Size() > reported {
			reported = w.Size()
			c.report(Progress{Path: title, Digest: string(d.Digest), Done: reported, Total: d.Size})
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			err = orStalled(ctx, err)
			if _, remote := src.(*registrySource); remote {
				err = &wireError{err}
			}
			return err
		}
		if err := ctx.Err(); err != nil {
			return orStalled(ctx, err)
		}
	}
	if w.Size() != d.Size {
		return fmt.Errorf("%w: %d bytes, its descriptor announces %d", ErrDigest, w.Size(), d.Size)
	}
	return nil
}

// pauseKey is where a guarded context has the function that is told about pauses.
type pauseKey struct{}

// guard returns a context that ends with errStalled when alive was not called
// for the time of stall. A pause that the server asks for does not count.
func guard(parent context.Context, stall time.Duration) (ctx context.Context, alive, done func()) {
	ctx, cancel := context.WithCancelCause(parent)
	watch := time.AfterFunc(stall, func() { cancel(errStalled) })
	ctx = context.WithValue(ctx, pauseKey{}, func(d time.Duration) { watch.Reset(stall + d) })
	return ctx, func() { watch.Reset(stall) }, func() { watch.Stop(); cancel(nil) }
}

func orStalled(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// wireError is a failure in the middle of a transfer, whatever its type.
type wireError struct{ err error }

func (e *wireError) Error() string { return e.err.Error() }
func (e *wireError) Unwrap() error { return e.err }
