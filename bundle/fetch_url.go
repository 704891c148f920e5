package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

// fetch brings what a URL names into the cache, and keeps it there until the
// overlay is closed.
func (o *overlay) fetch(ctx context.Context, c *config, u *url.URL) (replacement, error) {
	store, err := c.store()
	if err != nil {
		return replacement{}, err
	}
	lock, err := store.Shared(ctx)
	if err != nil {
		return replacement{}, err
	}
	defer lock.Unlock()
	d, st, err := fetchURL(ctx, c, store, u)
	if err != nil {
		return replacement{}, err
	}
	lease, err := store.Lease(ctx, d)
	if err != nil {
		return replacement{}, err
	}
	o.leases = append(o.leases, lease)
	f, _, err := store.Open(d)
	if err != nil {
		return replacement{}, err
	}
	defer f.Close()
	return replacement{f.Name(), d, st}, nil
}

func fetchURL(ctx context.Context, c *config, store *blobstore.Store, u *url.URL) (d digest.Digest, st blobstore.Stamp, err error) {
	if c.offline {
		return "", st, tidy(fmt.Errorf("%w: %s", ErrOffline, u.Redacted()))
	}
	rt, idle := c.roundTripper()
	defer idle()
	client := &http.Client{Transport: rt, CheckRedirect: onlyTLS}
	w, err := store.Create(digest.SHA256)
	if err != nil {
		return "", st, err
	}
	for attempt := 0; ; attempt++ {
		if err = getURL(ctx, client, c, u, w); err == nil {
			break
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("%s: %w", u.Redacted(), context.Cause(ctx))
		} else if broken(err) && attempt >= c.retries {
			err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		if ctx.Err() != nil || attempt >= c.retries || !broken(err) {
			return "", st, errors.Join(tidy(err), w.Abort())
		}
		if err := errors.Join(pause(ctx, attempt), w.Reset()); err != nil {
			return "", st, errors.Join(err, w.Abort())
		}
	}
	d = w.Digest()
	st, err = w.Commit("", 0)
	return d, st, err
}

// onlyTLS follows no redirect from https to http, because nothing else vouches for
// what comes, and tells nobody the address, which may be signed.
func onlyTLS(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer")
	switch {
	case len(via) >= 10:
		return errors.New("more than 10 redirects")
	case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("a redirect from https to http is not followed")
	}
	return nil
}

func getURL(ctx context.Context, client *http.Client, c *config, u *url.URL, w *blobstore.Writer) error {
	ctx, alive, done := guard(ctx, c.stall)
	defer done()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	// What is loaded is the file, not a transport encoding of it.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, orStalled(ctx, err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return absent{fmt.Errorf("%s: status %s", u.Redacted(), resp.Status)}
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: %s: status %s", ErrUnauthorized, u.Redacted(), resp.Status)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: %s: status %s", ErrUnreachable, u.Redacted(), resp.Status)
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		alive()
		if w.Size()+int64(n) > c.limits.Size {
			return fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, u.Redacted(), c.limits.Size)
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return fmt.Errorf("write to the cache: %w", err)
		}
		switch {
		case errors.Is(err, io.EOF):
			if resp.ContentLength >= 0 && resp.ContentLength != w.Size() {
				return &wireError{io.ErrUnexpectedEOF}
			}
			return nil
		case err != nil:
			return &wireError{orStalled(ctx, err)}
		}
	}
}
