package image

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"time"
)

// fetched is an answer of a server.
type fetched struct {
	body   io.ReadCloser
	offset int64 // of the first byte of body
	// sure says that the server vouches that this is the file of the first
	// answer; otherwise body starts at 0 and what was read before is compared.
	sure bool
	size int64 // of the whole file, -1 if not known
}

// fetcher asks for the bytes from offset on. first is false when it takes up a
// transfer that broke.
type fetcher func(ctx context.Context, offset int64, first bool) (fetched, error)

// permanent marks errors that asking again will not cure.
type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

var errStall = errors.New("no data came for too long")

// resumer reads a file from a server and takes a broken transfer up again.
type resumer struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	fetch  fetcher
	stall  time.Duration
	tries  int // in a row without progress
	wait   time.Duration
	log    *slog.Logger
	name   string

	start  int64
	offset int64
	size   int64
	sum    maphash.Hash // of what was delivered, when that began at 0
	body   io.ReadCloser
	req    context.Context         // of the present request
	stop   context.CancelCauseFunc // ends it
	failed int
	err    error
}

// begin makes the first request, so that what cannot be had fails at once.
func (r *resumer) begin() error {
	for {
		err := r.connect(r.offset == r.start && r.size < 0)
		if err == nil {
			return nil
		}
		if err := r.again(err); err != nil {
			return err
		}
	}
}

// connect makes one request.
func (r *resumer) connect(first bool) error {
	ctx, stop := context.WithCancelCause(r.ctx)
	timer := time.AfterFunc(r.stall, func() { stop(errStall) })
	f, err := r.fetch(ctx, r.offset, first)
	timer.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		stop(nil)
		return err
	}
	r.body, r.req, r.stop = f.body, ctx, stop
	if first {
		r.size = f.size
	} else if r.size >= 0 && f.size >= 0 && f.size != r.size {
		r.drop()
		return &permanent{fmt.Errorf("%w: it had %d bytes and now has %d", ErrChanged, r.size, f.size)}
	}
	if f.offset == r.offset && (f.sure || first) {
		return nil
	}
	if err := r.skip(f); err != nil {
		r.drop()
		return err
	}
	return nil
}

// skip reads up to where the transfer broke from a body that starts earlier,
// and makes sure that these are the bytes that were delivered.
func (r *resumer) skip(f fetched) error {
	if f.offset != 0 {
		return &permanent{fmt.Errorf("the server sent bytes from %d when asked for those from %d", f.offset, r.offset)}
	}
	if !f.sure && r.start != 0 {
		return &permanent{fmt.Errorf("%w, or may have: the server has neither ETag nor Last-Modified to tell", ErrChanged)}
	}
	var again maphash.Hash
	again.SetSeed(r.sum.Seed())
	buf := make([]byte, 64<<10)
	for left := r.offset; left > 0; {
		n, err := r.timed(buf[:min(int64(len(buf)), left)])
		again.Write(buf[:n])
		left -= int64(n)
		if err == io.EOF && left > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && left > 0 {
			return err
		}
	}
	if r.start == 0 && again.Sum64() != r.sum.Sum64() {
		return &permanent{ErrChanged}
	}
	return nil
}

// timed reads from the body and gives up when nothing comes.
func (r *resumer) timed(p []byte) (int, error) {
	stop := r.stop
	timer := time.AfterFunc(r.stall, func() { stop(fmt.Errorf("%w (%v)", errStall, r.stall)) })
	defer timer.Stop()
	n, err := r.body.Read(p)
	if err != nil && err != io.EOF && r.req.Err() != nil {
		err = context.Cause(r.req)
	}
	return n, err
}

func (r *resumer) drop() {
	if r.body != nil {
		r.body.Close()
		r.stop(nil)
		r.body = nil
	}
}

// again waits before the next try, or says why there is none.
func (r *resumer) again(err error) error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	var p *permanent
	if errors.As(err, &p) {
		return p.err
	}
	if r.failed >= r.tries {
		return fmt.Errorf("%w: gave up at byte %d after %d tries: %w", ErrUnreachable, r.offset, r.failed+1, err)
	}
	wait := min(r.wait<<min(r.failed, 10), 15*time.Second)
	r.failed++
	r.log.Warn("transfer of the image broke, taking it up again", "source", r.name, "offset", r.offset, "try", r.failed, "wait", wait, "err", err)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// Read implements io.Reader.
func (r *resumer) Read(p []byte) (int, error) {
	for r.err == nil && len(p) > 0 {
		if r.body == nil {
			if err := r.connect(false); err != nil {
				r.err = r.again(err)
				continue
			}
		}
		n, err := r.timed(p)
		if n > 0 {
			r.failed = 0
			r.offset += int64(n)
			if r.start == 0 {
				r.sum.Write(p[:n])
			}
		}
		switch {
		case err == io.EOF && r.size >= 0 && r.offset < r.size:
			err = io.ErrUnexpectedEOF
		case r.size >= 0 && r.offset > r.size:
			r.err = fmt.Errorf("%w: more than the %d bytes that the server announced", ErrCorrupt, r.size)
		}
		if err == io.EOF {
			r.err = io.EOF
		}
		if err != nil {
			r.drop()
			if r.err == nil {
				r.err = r.again(tidy(err))
			}
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// Close ends the transfer. It must not be called concurrently with itself, but
// may be while a Read goes on, which then ends.
func (r *resumer) Close() error {
	r.cancel(ErrClosed)
	return nil
}
