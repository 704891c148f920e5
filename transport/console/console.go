package console

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// readSize is how much is read from the port at once.
	readSize = 32 << 10
	// idlePause is waited after a read that returned nothing at once. A read
	// timeout of go.bug.st/serial returns (0, nil) too, but not at once.
	idlePause = 2 * time.Millisecond
	// closeGrace is how long Close waits for a Read or Write of the port that
	// does not come back although the port was closed.
	closeGrace = 5 * time.Second
)

// Console is a session on a port. All methods may be called concurrently. One
// goroutine drains the port from New until Close, whether or not somebody
// waits for output.
type Console struct {
	cfg config
	rwc io.ReadWriteCloser
	log *slog.Logger

	expectTurn chan struct{} // held by the one Expect that is looked after
	sendTurn   chan struct{} // held by the one Send that writes
	writes     chan writeJob

	closing   chan struct{} // closed by Close
	done      chan struct{} // closed when err is set
	closeOnce sync.Once
	closeErr  error
	loops     sync.WaitGroup // the reading and the writing goroutine
	guests    sync.WaitGroup // goroutines of attached persons and programs

	mu      sync.Mutex
	win     window
	active  *search
	hist    history
	hidden  *secrets
	red     redactor // used by the reading goroutine and by Tail
	taps    map[*tap]struct{}
	portErr error // what the port's Read ended with; nil while it lives
	err     error // what Err returns; done is closed when it is set

	transcriptErr error // owned by the reading goroutine until loops is done
}

// New starts a session on rwc and takes it over: Close closes it. A Close of
// rwc must make its blocked Read and Write return, as it does for network
// connections, pipes and serial ports.
//
// A Read that returns (0, nil), as go.bug.st/serial does for a read timeout, is
// tolerated.
func New(rwc io.ReadWriteCloser, opts ...Option) (*Console, error) {
	if rwc == nil {
		return nil, errors.New("console: nil port")
	}
	cfg := config{window: DefaultWindow, lineEnding: "\r", logger: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		if err := opt(&cfg); err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
	}
	c := &Console{
		cfg:        cfg,
		rwc:        rwc,
		log:        cfg.logger,
		expectTurn: make(chan struct{}, 1),
		sendTurn:   make(chan struct{}, 1),
		writes:     make(chan writeJob),
		closing:    make(chan struct{}),
		done:       make(chan struct{}),
		win:        window{limit: cfg.window},
		taps:       make(map[*tap]struct{}),
	}
	for _, s := range cfg.secrets {
		c.AddSecret(s)
	}
	c.loops.Add(2)
	go c.readLoop()
	go c.writeLoop()
	return c, nil
}

// AddSecret makes secret appear as *** in the transcript, in Tail, in errors
// and in log lines from now on. A secret with several lines is also hidden line
// by line. What the board breaks up itself, as a shell does that wraps a long
// line, is not recognised in the transcript. The empty string is ignored.
func (c *Console) AddSecret(secret string) {
	if secret == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hidden = c.hidden.with(secret)
	c.red.secrets = c.hidden
}

// Redact returns s with the secrets of [WithSecret] and [Console.AddSecret] as ***, for
// whoever puts what he has typed or matched into an error or a log line.
func (c *Console) Redact(s string) string {
	c.mu.Lock()
	hidden := c.hidden
	c.mu.Unlock()
	return hidden.replace(s)
}

// readLoop drains the port until it ends.
func (c *Console) readLoop() {
	defer c.loops.Done()
	buf := make([]byte, readSize)
	var shown []byte
	for {
		began := time.Now()
		n, err := c.rwc.Read(buf)
		if n > 0 {
			shown = c.ingest(buf[:n], shown[:0])
			c.writeTranscript(shown)
		}
		if err != nil {
			c.ended(err)
			return
		}
		if n == 0 && time.Since(began) < idlePause {
			select {
			case <-c.closing:
				c.ended(ErrClosed)
				return
			case <-time.After(idlePause):
			}
		}
	}
}

// ingest takes in what the port gave: for the one who waits, for those who
// watch, and for the record. It returns what may be shown, appended to shown.
func (c *Console) ingest(p, shown []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown = c.red.write(shown, p)
	c.hist.add(shown)
	for t := range c.taps {
		t.add(p)
	}
	c.win.add(p)
	if c.active != nil {
		c.look(c.active)
	}
	c.win.trim()
	return shown
}

func (c *Console) writeTranscript(p []byte) {
	if c.cfg.transcript == nil || c.transcriptErr != nil || len(p) == 0 {
		return
	}
	if n, err := c.cfg.transcript.Write(p); err != nil || n < len(p) {
		if err == nil {
			err = io.ErrShortWrite
		}
		c.transcriptErr = fmt.Errorf("writing the transcript: %w", err)
		c.log.Warn("console transcript failed; going on without", "error", err)
	}
}

// ended records why reading is over and tells everybody.
func (c *Console) ended(err error) {
	c.mu.Lock()
	rest := c.red.flush(nil)
	c.hist.add(rest)
	if c.err == nil {
		c.portErr, c.err = err, fmt.Errorf("%w: %w", ErrPortClosed, err)
		if c.active != nil {
			c.look(c.active)
		}
		close(c.done)
	}
	c.mu.Unlock()
	c.writeTranscript(rest)
}

// Done is closed when the port has ended or Close was called; [Console.Err]
// then says why. Output that has arrived before can still be matched after the
// port's end, not after Close.
func (c *Console) Done() <-chan struct{} { return c.done }

// Err returns nil while the session lives, then an error that wraps
// [ErrPortClosed] and the port's own error, or [ErrClosed] after Close.
func (c *Console) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the session: it closes the port, makes every blocked call return,
// and waits for the goroutines of the session. It may be called any number of
// times; all calls return the same error, which is that of closing the port or
// of writing the transcript. A port whose Read or Write does not come back
// within five seconds of its being closed is an error too.
func (c *Console) Close() error {
	c.closeOnce.Do(func() { c.closeErr = c.shutdown() })
	return c.closeErr
}

func (c *Console) shutdown() error {
	c.mu.Lock()
	close(c.closing)
	if c.err == nil {
		close(c.done)
	}
	c.err = ErrClosed
	c.mu.Unlock()
	var errs []error
	if err := c.rwc.Close(); err != nil {
		errs = append(errs, fmt.Errorf("closing the port: %w", err))
	}
	gone := make(chan struct{})
	go func() {
		c.loops.Wait()
		c.guests.Wait()
		close(gone)
	}()
	t := time.NewTimer(closeGrace)
	defer t.Stop()
	select {
	case <-gone:
		if c.transcriptErr != nil {
			errs = append(errs, c.transcriptErr)
		}
	case <-t.C:
		errs = append(errs, fmt.Errorf("a read or write of the port did not return within %v of closing it", closeGrace))
	}
	if len(errs) == 0 {
		return nil
	}
	return c.fail("close", nil, errors.Join(errs...))
}

// Tail returns the last n lines that the board has printed in this session,
// whether or not they were consumed, cleaned by [Clean] and with secrets
// replaced. It looks back 32 KiB at most.
func (c *Console) Tail(n int) string {
	c.mu.Lock()
	raw := string(c.hist.bytes()) + string(c.red.held)
	hidden := c.hidden
	c.mu.Unlock()
	// Once before cleaning and once after, for what an ANSI sequence cut.
	return lastLines(hidden.replace(Clean(hidden.replace(raw))), n)
}
