package busybox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/dutflash/dutflash/transport/console"
)

// Login is how to get from a booted board to a shell, as a flasher bundle's
// manifest says it.
type Login struct {
	LoginPrompt string // end of the line that asks for a user name; "" is "login:"
	Username    string // "" where the board needs no login
	Password    string // "" where none is asked; never in logs, errors, or the transcript
	Prompt      string // end of the shell's prompt, a hint only; "" is "#"
}

// Failure is a text on the console that means that there will be no shell,
// such as U-Boot's "Wrong Image Format for bootm command".
type Failure struct {
	Pattern *regexp.Regexp // matched against single lines
	Err     error          // wrapped by the error that Login returns
}

// Defaults of a Shell.
const (
	defaultCommandTimeout = 60 * time.Second
	defaultLoginTimeout   = 180 * time.Second
)

type config struct {
	login    Login
	timeout  time.Duration
	log      *slog.Logger
	failures []Failure
	booted   bool
}

// Option changes a default of a Shell.
type Option func(*config) error

// WithKernelStarted says that the first [Shell.Login] begins when a boot loader has
// handed over to the kernel: a boot loader that is heard of then is [ErrReset] at
// once, where otherwise a board is expected to come from there.
func WithKernelStarted() Option {
	return func(c *config) error {
		c.booted = true
		return nil
	}
}

// WithLogin says how to log in. The default is the zero [Login]: a shell
// without a login and with a prompt that ends in "#".
func WithLogin(l Login) Option {
	return func(c *config) error {
		for _, f := range []struct{ name, value string }{
			{"login prompt", l.LoginPrompt}, {"user name", l.Username}, {"password", l.Password}, {"shell prompt", l.Prompt},
		} {
			if i := strings.IndexFunc(f.value, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
				return fmt.Errorf("%w: the %s contains a control character", ErrConfig, f.name)
			}
		}
		c.login = l
		return nil
	}
}

// WithCommandTimeout bounds each command whose context has no deadline of its
// own. The default is one minute; d must be positive.
func WithCommandTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("%w: command timeout %v is not positive", ErrConfig, d)
		}
		c.timeout = d
		return nil
	}
}

// WithLogger sets where the session logs its steps (debug) and what it had to
// repeat (warn). The default is silence.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l == nil {
			return fmt.Errorf("%w: nil logger", ErrConfig)
		}
		c.log = l
		return nil
	}
}

// WithFailures adds texts that end Login at once, beside kernel panics and
// resets, which are always recognised.
func WithFailures(fs ...Failure) Option {
	return func(c *config) error {
		for _, f := range fs {
			if f.Pattern == nil || f.Err == nil {
				return fmt.Errorf("%w: a failure needs a pattern and an error", ErrConfig)
			}
		}
		c.failures = append(c.failures, fs...)
		return nil
	}
}

// Shell is a session in the shell of a board.
//
// All methods may be called concurrently; they take turns, because there is
// one console. While a Shell works nobody else may read from or type on its
// console. A Shell holds no resources of its own: whoever made the console
// closes it.
type Shell struct {
	c   *console.Console
	cfg config

	turn chan struct{} // holds one token: whose turn it is

	mu      sync.Mutex
	dead    error // the board panicked or was reset
	secrets []string

	// What follows belongs to whoever has the turn.
	logged bool // Login has succeeded and Interactive was not called since
	lost   bool // the inner shell must be proved before the next command
	env    environment
	nonce  string // the inner shell's name, which only it knows
	stream stream
	seq    int // commands so far, for the log
}

// environment is what Login found out about the shell.
type environment struct {
	stty   bool // the terminal is quiet and passes output as it is
	tty    bool // there is a controlling terminal: Ctrl-C reaches the command
	printk bool // the kernel's messages have been turned down
}

// New returns a session on c, which must stay open. Nothing is sent or awaited
// before [Shell.Login].
func New(c *console.Console, opts ...Option) (*Shell, error) {
	if c == nil {
		return nil, &Error{Op: "new", Err: fmt.Errorf("%w: nil console", ErrConfig)}
	}
	cfg := config{}
	for _, o := range opts {
		if err := o(&cfg); err != nil {
			return nil, &Error{Op: "new", Err: err}
		}
	}
	if cfg.timeout == 0 {
		cfg.timeout = defaultCommandTimeout
	}
	if cfg.log == nil {
		cfg.log = slog.New(slog.DiscardHandler)
	}
	if cfg.login.LoginPrompt == "" {
		cfg.login.LoginPrompt = "login:"
	}
	if cfg.login.Prompt == "" {
		cfg.login.Prompt = "#"
	}
	s := &Shell{c: c, cfg: cfg, turn: make(chan struct{}, 1), stream: stream{c: c}}
	s.turn <- struct{}{}
	s.AddSecret(cfg.login.Password)
	return s, nil
}

// AddSecret makes secret appear as *** in the errors and log lines of this
// session, and in the console's transcript and errors, from now on. The login's
// password is one from the start. The empty string is ignored. What Run returns
// and Stream hands out is left as the board sent it.
func (s *Shell) AddSecret(secret string) {
	if secret == "" {
		return
	}
	s.c.AddSecret(secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, secret)
	// The shell's spelling of it, for where a command is shown.
	if q := strings.ReplaceAll(secret, "'", `'\''`); q != secret {
		s.secrets = append(s.secrets, q)
	}
}

// hide replaces secrets.
func (s *Shell) hide(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// Console returns the console that the session is on.
func (s *Shell) Console() *console.Console { return s.c }

// acquire waits for this caller's turn.
func (s *Shell) acquire(ctx context.Context, op, cmd string) error {
	if err := ctx.Err(); err != nil {
		return &Error{Op: op, Command: s.hide(cmd), Err: err, Detail: "the context had ended before anything was typed"}
	}
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return &Error{Op: op, Command: s.hide(cmd), Err: ctx.Err(), Detail: "another command was still running on this console"}
	}
}

func (s *Shell) release() { s.turn <- struct{}{} }

// bounded gives ctx a deadline of d where it has none.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// fail makes an error of this session with the console's last lines.
func (s *Shell) fail(op, cmd string, err error, format string, args ...any) error {
	e := &Error{Op: op, Command: s.hide(cmd), Err: err, Detail: s.hide(fmt.Sprintf(format, args...))}
	var ce *console.Error
	if !errors.As(err, &ce) { // which has the last lines already
		e.Tail = s.tail()
	}
	return e
}

// tail is what the console showed last, for errors, without this package's own
// conversation with the board.
func (s *Shell) tail() string {
	t := s.stream.recent()
	for _, re := range ownWords {
		t = re.ReplaceAllString(t, "")
	}
	return s.hide(lastLines(s.hide(console.Clean(t)), 10, 1024))
}

// ownWords are answers, framed texts (also one that has lost its start), and
// begin marks.
var ownWords = []*regexp.Regexp{
	regexp.MustCompile(`<[b-z]{9}\.[b-z]{9}:[a-z]*:[a-z]*:[0-9]*:[0-9]+:[0-9]*:[0-9]*>\r?\n?`),
	regexp.MustCompile(`<[b-z]{9}\.[b-z]{9}:[0-9]+:[0-9]+>\r?\n?`),
	regexp.MustCompile(`(?s)<[b-z]{9}\.[b-z]{9}:.*?:[b-z]{9}\.[b-z]{9}>\r?\n?`),
	regexp.MustCompile(`(?s)^.*:[b-z]{9}\.[b-z]{9}>\r?\n?`),
	regexp.MustCompile(`<[b-z]{9}\.[b-z]{9}>\r?\n?`),
}

// Err returns what ended the session for good ([ErrPanic], [ErrReset]), or nil.
// A new Login clears it.
func (s *Shell) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

func (s *Shell) setDead(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = err
}
