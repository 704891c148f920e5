package uboot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/dutflash/dutflash/transport/console"
)

// Session is a U-Boot prompt on a console. It may be used by one goroutine at a
// time. It owns nothing: the caller closes the console.
type Session struct {
	con     *console.Console
	cfg     config
	prompt  string
	hush    bool
	modern  bool     // hush was found to be the parser of U-Boot 2024.01 and later
	crc32   tristate // whether the build has the crc32 command
	echo    tristate // whether what is typed comes back
	late    bool     // and it does so late
	dropped string   // what the typing of a line has taken out of the console's window
	// endedLine says that the last command's output ended with a line break.
	endedLine bool
	// stamped says that the build puts a timestamp before every line.
	stamped bool
	// lost says that nobody answers any more (reset, crash, hang), so that
	// there is nobody to put variables back for.
	lost bool
}

type tristate int

const (
	notAsked tristate = iota
	yes
	no
)

type config struct {
	prompts   []string
	stopKey   string
	password  string
	quietBoot time.Duration
	// autobootText is waited for before the first stop key; "" is nothing.
	autobootText string
	interval     time.Duration
	lineLimit    int
	timeout      time.Duration
	log          *slog.Logger
	random       io.Reader // what markers are made of; never fails
}

// Option configures a [Session].
type Option func(*config) error

// DefaultPrompts returns the prompts that are tried where the caller names none:
// what most boards' builds use. A prompt that is not among them is learnt all the
// same, by an answer of U-Boot to a marker; it takes a second longer.
func DefaultPrompts() []string {
	return []string{"=> ", "U-Boot> ", "-> ", "MX8 => ", "u-boot=> ", "ZynqMP> ", "Zynq> ", "Versal> ", "STM32MP> ", "K3> ", "Hit> ", "uboot> ", "U-Boot # "}
}

// WithPrompts names the prompts of the board, in place of [DefaultPrompts].
func WithPrompts(prompts ...string) Option {
	return func(c *config) error {
		if len(prompts) == 0 || slices.Contains(prompts, "") {
			return errors.New("WithPrompts: a prompt is empty")
		}
		c.prompts = prompts
		return nil
	}
}

// WithStopKey sets what stops autoboot. The default is ESC ("\x1b"); others are
// " ", "\r", "\x03" (Ctrl-C), or the string of a keyed autoboot
// (CONFIG_AUTOBOOT_STOP_STR).
func WithStopKey(key string) Option {
	return func(c *config) error {
		if key == "" {
			return errors.New("WithStopKey: the key is empty")
		}
		c.stopKey = key
		return nil
	}
}

// WithAutobootText holds the stop key back until the board prints the text, such as
// "autoboot in". Without it the stop key is sent from the beginning, which suits
// most boards. It is for builds with a hashed stop string
// (CONFIG_AUTOBOOT_ENCRYPTION), which any key before it spoils, and for boards
// whose boot ROM or SPL takes keys for itself.
//
// A hashed stop string goes to [WithStopKey], with "\r" behind it where crypt does
// the hashing, and without "\r" to [WithPassword] as well, which keeps it out of
// transcripts and errors.
func WithAutobootText(text string) Option {
	return func(c *config) error {
		if text == "" {
			return errors.New("WithAutobootText: the text is empty")
		}
		c.autobootText = text
		return nil
	}
}

// WithPassword sets what is typed where U-Boot asks for a password before it lets
// autoboot be stopped ("enter Password:"). It is kept out of transcripts and
// errors. A build that does not ask (CONFIG_AUTOBOOT_STOP_STR) wants
// [WithStopKey] instead.
func WithPassword(password string) Option {
	return func(c *config) error {
		if password == "" || strings.ContainsAny(password, "\r\n") {
			return errors.New("WithPassword: the password is empty or has a line break")
		}
		c.password = password
		return nil
	}
}

// WithQuietBoot has [Session.Boot] take a boot command for handed over when it
// printed nothing that is known for this long, for builds and kernels that say
// nothing when they start. Without it such a boot ends with the deadline of its
// context. A failure that is printed later is for [BootFailure].
func WithQuietBoot(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("WithQuietBoot: %v is not positive", d)
		}
		c.quietBoot = d
		return nil
	}
}

// WithStopInterval sets how often the stop key is sent, at least every
// millisecond. The default is 100 ms.
func WithStopInterval(d time.Duration) Option {
	return func(c *config) error {
		if d < time.Millisecond {
			return fmt.Errorf("WithStopInterval: %v is shorter than 1 ms", d)
		}
		c.interval = d
		return nil
	}
}

// WithLineLimit sets how many characters a command line may have
// (CONFIG_SYS_CBSIZE), from 128. The default is 256, the least that boards have;
// a longer command goes through environment variables.
func WithLineLimit(n int) Option {
	return func(c *config) error {
		if n < 128 {
			return fmt.Errorf("WithLineLimit: %d is less than 128", n)
		}
		c.lineLimit = n
		return nil
	}
}

// WithCommandTimeout limits a command whose context has no deadline of its own.
// The default is 60 s.
func WithCommandTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("WithCommandTimeout: %v is not positive", d)
		}
		c.timeout = d
		return nil
	}
}

// WithLogger sets where commands are logged. The default is silence.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l == nil {
			return errors.New("WithLogger: the logger is nil")
		}
		c.log = l
		return nil
	}
}

// New returns a Session on the console. Nothing is sent yet; [Session.Interrupt]
// comes first.
func New(c *console.Console, opts ...Option) (*Session, error) {
	cfg := config{
		prompts: DefaultPrompts(), stopKey: "\x1b", interval: 100 * time.Millisecond,
		lineLimit: 256, timeout: time.Minute, log: slog.New(slog.DiscardHandler),
		random: rand.Reader,
	}
	var errs []error
	if c == nil {
		errs = append(errs, errors.New("the console is nil"))
	}
	for _, opt := range opts {
		errs = append(errs, opt(&cfg))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("uboot: %w", err)
	}
	c.AddSecret(cfg.password) // "" is ignored
	return &Session{con: c, cfg: cfg}, nil
}

// Prompt returns the prompt that the board was found to have, "" before
// Interrupt.
func (s *Session) Prompt() string { return s.prompt }

// Hush says whether this build has the hush shell (CONFIG_HUSH_PARSER), known after
// Interrupt. A build without it, which is an old or a small one, has no exit
// statuses: a command that fails is an error only where its output has a message
// that is known to be one, and a failure that is silent or says it in other words
// passes. So look at the output there. What U-Boot itself says about DHCP and TFTP
// is looked at in any case, and sizes, CRCs and variables are compared.
func (s *Session) Hush() bool { return s.hush }
