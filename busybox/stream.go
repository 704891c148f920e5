package busybox

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// anything matches as soon as there is one byte.
func anything() expect.ExpectOpt { return expect.Regexp(reAny) }

var reAny = regexp.MustCompile(`(?s).`)

// stream hands out the console's bytes in order, and keeps an eye on them.
type stream struct {
	c *console.Console
	w watch
	// dropped counts bytes that the console could not keep, because more
	// arrived than its window holds before they were read here.
	dropped int64

	// crlf says that every LF of the board arrives with a CR before it that
	// the board has not printed, put in by its terminal or by something on the
	// way, such as a pty; it is taken out again. cr is such a CR at the end of
	// what was read last, whose LF may follow.
	crlf, cr bool

	mu   sync.Mutex
	last []byte // the last bytes seen, for errors
}

const recentBytes = 4096

// read returns what has arrived, waiting at most max for the first byte. No
// bytes and no error means that max has passed in silence. The error is ctx's
// or the console's.
func (st *stream) read(ctx context.Context, max time.Duration) (string, error) {
	wctx, cancel := context.WithTimeout(ctx, max)
	m, err := st.c.Expect(wctx, anything())
	cancel()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return "", nil
	default:
		return "", err
	}
	// More may have arrived since the match than the window holds.
	rest, lost := st.c.Take()
	st.dropped += m.Dropped + lost
	text := st.plain(m.Before + m.Text + rest)
	st.note(text)
	return text, nil
}

// drain takes what has arrived without waiting.
func (st *stream) drain() {
	text := st.plain(st.c.Discard())
	if text != "" {
		st.note(text)
	}
}

// plain takes out the CRs that something has put in.
func (st *stream) plain(text string) string {
	if !st.crlf {
		return text
	}
	if st.cr {
		text = "\r" + text
	}
	if st.cr = strings.HasSuffix(text, "\r"); st.cr {
		text = text[:len(text)-1]
	}
	return strings.ReplaceAll(text, "\r\n", "\n")
}

func (st *stream) note(text string) {
	st.w.feed(text)
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(text) >= recentBytes {
		st.last = append(st.last[:0], text[len(text)-recentBytes:]...)
		return
	}
	if over := len(st.last) + len(text) - recentBytes; over > 0 {
		st.last = st.last[:copy(st.last, st.last[over:])]
	}
	st.last = append(st.last, text...)
}

// recent returns the last bytes seen. Anybody may call it.
func (st *stream) recent() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return string(st.last)
}

// reset starts anew, as before the first byte.
func (st *stream) reset() {
	st.w, st.crlf, st.cr = watch{}, false, false
	st.forget()
}

// alive takes back a death: what was read was only text.
func (st *stream) alive() {
	st.w = watch{crlf: st.w.crlf, last: st.w.last}
}

// forget makes recent start here.
func (st *stream) forget() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.last = nil
}
