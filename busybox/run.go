package busybox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxOutput = 64 << 20        // bytes that Run keeps
	tailBytes = 4096            // bytes of output that Stream keeps for its error
	firstPoll = 3 * time.Second // silence after which a command is asked for
	lastPoll  = time.Minute     // and the longest time between two such questions
	graceTime = 2 * time.Second // from a fatal line to the verdict
)

// Run runs one command line, which may have many lines and may be a whole
// script, and returns what it printed on stdout and stderr, as it was printed.
// A status other than 0 is a [*CommandError]. Standard input is /dev/null.
//
// The command runs in the session's shell: variables and the working directory
// last. `exit N` ends that shell; it is replaced by a new one, and N is the
// status.
//
// Without a deadline in ctx the command timeout holds. When time is up, or ctx
// is cancelled, the command is stopped (Ctrl-C, Ctrl-\, Ctrl-Z and kill), the
// shell is proved again, and the error wraps ctx's; what only Ctrl-Z stops takes
// the session's shell with it, which is replaced by a new one. If the shell does not
// answer it also wraps [ErrShellLost]. [ErrPanic] and [ErrReset] tell that the
// board died meanwhile, [ErrOutputLost] that a part of
// the output came faster than it could be read. Kernel messages with time stamps are taken out of the
// output, see the package documentation. Output beyond 64 MiB is
// [ErrOutputTooLong].
func (s *Shell) Run(ctx context.Context, cmd string) (string, error) {
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	return s.run(ctx, "run", cmd)
}

func (s *Shell) run(ctx context.Context, op, cmd string) (string, error) {
	var out strings.Builder
	long := false
	began := time.Now()
	sctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	status, err := s.exec(sctx, op, cmd, func(b []byte) {
		if out.Len()+len(b) > maxOutput {
			long = true
			stop(ErrOutputTooLong)
			return
		}
		out.Write(b)
	})
	if long {
		return out.String(), &Error{Op: op, Command: s.hide(cmd), Err: ErrOutputTooLong,
			Detail: fmt.Sprintf("more than %d bytes; use Stream", maxOutput)}
	}
	if err != nil {
		return out.String(), err
	}
	if status != 0 {
		return out.String(), s.blame(ctx, s.commandError(cmd, status, out.String()), began)
	}
	return out.String(), nil
}

// Stream runs a command like Run and hands its output to out piece by piece
// while it runs. The pieces are cut anywhere; out must not keep or call back
// into this Shell. The Output of its [*CommandError] is the last part only.
func (s *Shell) Stream(ctx context.Context, cmd string, out func(chunk []byte)) error {
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	return s.streamTo(ctx, "stream", cmd, out)
}

func (s *Shell) streamTo(ctx context.Context, op, cmd string, out func([]byte)) error {
	var last []byte
	began := time.Now()
	status, err := s.exec(ctx, op, cmd, func(b []byte) {
		last = append(last, b...)
		if over := len(last) - tailBytes; over > 0 {
			last = last[:copy(last, last[over:])]
		}
		if out != nil {
			out(b)
		}
	})
	if err != nil {
		return err
	}
	if status != 0 {
		return s.blame(ctx, s.commandError(cmd, status, string(last)), began)
	}
	return nil
}

// typable says why a text cannot be typed into a terminal, or "".
func typable(cmd string) string {
	for i, r := range cmd {
		if (r < ' ' && r != '\n' && r != '\t') || r == 0x7f {
			return fmt.Sprintf("control character %#02x at byte %d; upload it as a file instead", r, i)
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(cmd[i:]); n == 1 {
				return fmt.Sprintf("byte %d is not UTF-8; upload it as a file instead", i)
			}
		}
	}
	return ""
}

// exec runs cmd and gives its output to sink. Its error says that the status
// is not known.
func (s *Shell) exec(ctx context.Context, op, cmd string, sink func([]byte)) (int, error) {
	if why := typable(cmd); why != "" {
		return 0, &Error{Op: op, Command: s.hide(cmd), Err: ErrCommandText, Detail: why}
	}
	if err := s.acquire(ctx, op, cmd); err != nil {
		return 0, err
	}
	defer s.release()
	if err := s.ready(ctx, op, cmd); err != nil {
		return 0, err
	}
	s.stream.forget()
	s.seq++
	began := time.Now()
	s.cfg.log.Debug("busybox: run", "n", s.seq, "command", short(s.hide(cmd), 200))
	id, err := s.load(ctx, cmd)
	if err != nil {
		return 0, s.interrupted(ctx, op, cmd, err, "while the command was typed; it was not run and may be repeated; the next command tries to get the shell back, else power-cycle the board")
	}
	status, err := s.perform(ctx, op, cmd, id, sink)
	s.cfg.log.Debug("busybox: ended", "n", s.seq, "status", status, "error", err, "took", time.Since(began))
	return status, err
}

// ready makes sure that there is a session and that its shell listens.
func (s *Shell) ready(ctx context.Context, op, cmd string) error {
	if dead := s.Err(); dead != nil {
		return &Error{Op: op, Command: s.hide(cmd), Err: dead, Detail: "nothing was typed; log in again after the board has booted"}
	}
	if !s.logged {
		return &Error{Op: op, Command: s.hide(cmd), Err: ErrNotLoggedIn, Detail: "call Login first"}
	}
	s.stream.drain()
	if s.lost || s.stream.w.dead != omenNone {
		if err := s.recover(ctx); err != nil {
			return s.explain(op, cmd, err, "the command was not run")
		}
	}
	return nil
}

// load brings the text of a command to the board, piece by piece, each
// compared with what the board says it has read. It returns the last piece's mark.
func (s *Shell) load(ctx context.Context, cmd string) (string, error) {
	prev := "0"
	for {
		n := min(len(cmd), maxPiece)
		for n < len(cmd) && !utf8.RuneStart(cmd[n]) {
			n--
		}
		id, err := s.piece(ctx, cmd[:n], prev)
		if err != nil {
			return "", err
		}
		prev, cmd = id, cmd[n:]
		if cmd == "" {
			return prev, nil
		}
	}
}

// piece types one piece until the board has read it right.
func (s *Shell) piece(ctx context.Context, text, prev string) (string, error) {
	for try := range tries {
		m := newMark()
		var got string
		err := s.patiently(ctx, 1, answerTime<<try, "_fi "+m.a+" "+m.b+" "+prev+"\n"+dataLines(text), func(all string) bool {
			var ok bool
			got, ok = findFramed(all, m)
			return ok
		})
		switch {
		case err == nil && got == text:
			return m.a, nil
		case err == nil:
			s.cfg.log.Warn("busybox: a command arrived damaged on the board, typing it again")
			continue
		case !errors.Is(err, ErrShellLost):
			return "", err
		}
		s.cfg.log.Warn("busybox: the board did not take a command, typing it again")
		if a, err := s.ask(ctx, 3, s.unstick(try)); err != nil {
			return "", err
		} else if a.name != s.nonce {
			s.lost = true
			return "", ErrShellLost
		}
	}
	return "", ErrCorrupt
}

// perform starts the loaded command and follows it to its end.
func (s *Shell) perform(ctx context.Context, op, cmd, id string, sink func([]byte)) (int, error) {
	end := newMark()
	sc := &scanner{id: id, end: end, name: s.nonce, kmsg: s.env.stty}
	launch := "_fr " + id + "\n"
	if s.env.stty { // else its echo would stand in the output
		launch += end.question()
	}
	if err := s.c.Send(ctx, launch); err != nil {
		return 0, s.interrupted(ctx, op, cmd, err, "while the command was started")
	}
	poll, launches := firstPoll, 1
	s.stream.dropped = 0
	var verdict time.Time // when a fatal line becomes the truth
	for {
		wait := poll
		if !verdict.IsZero() {
			wait = max(time.Until(verdict), time.Millisecond)
		}
		text, err := s.stream.read(ctx, wait)
		if err != nil {
			sink(sc.rest())
			return 0, s.interrupted(ctx, op, cmd, err, "while the command ran")
		}
		out, a, done := sc.feed(text)
		if len(out) > 0 {
			sink(out)
		}
		s.kernelSaid(sc)
		switch {
		case done && a.name == s.nonce && a.done == id:
			s.stream.alive() // whatever it printed
			if n := s.stream.dropped; n > 0 {
				return 0, s.fail(op, cmd, ErrOutputLost, "%d bytes, while it ran and ended with status %d; give the console a larger window, or have the board print less", n, ended(a))
			}
			return ended(a), nil
		case done && a.name == s.nonce: // the line that starts it got lost
			if launches++; launches > tries {
				return 0, s.fail(op, cmd, ErrCorrupt, "the line that starts the command was damaged %d times; it was not run; look at the serial line and its speed", tries)
			}
			if err := s.c.Send(ctx, launch); err != nil {
				return 0, s.interrupted(ctx, op, cmd, err, "while the command was started")
			}
		case done:
			return s.left(ctx, op, cmd, a, sc.begun)
		case s.stream.w.dead != omenNone && verdict.IsZero():
			verdict = time.Now().Add(graceTime)
		case !verdict.IsZero() && time.Now().After(verdict):
			err := s.stream.w.err(op, s.hide(cmd))
			s.setDead(errors.Unwrap(err))
			s.logged = false
			return 0, err
		case text == "" && verdict.IsZero():
			if err := s.c.Send(ctx, end.question()); err != nil {
				return 0, s.interrupted(ctx, op, cmd, err, "while the command ran")
			}
			poll = min(2*poll, lastPoll)
		}
	}
}

// ended is the exit status in an answer. A command that did not come to its
// end (a syntax error, Ctrl-C, return) is never a success.
func ended(a answer) int {
	if n, err := strconv.Atoi(a.status); err == nil {
		return n
	}
	if n, err := strconv.Atoi(a.last); err == nil && n != 0 {
		return n
	}
	return 2
}

// left deals with a command that ended the inner shell, and starts another.
func (s *Shell) left(ctx context.Context, op, cmd string, a answer, begun bool) (int, error) {
	s.lost = true
	status, err := strconv.Atoi(a.quit)
	if err != nil || a.name != "" || !begun {
		return 0, s.fail(op, cmd, ErrShellLost, "the session's shell ended and it is not known whether the command ran; look at its effects before repeating it")
	}
	s.cfg.log.Debug("busybox: the command ended the session's shell, starting another", "status", status)
	if err := s.recover(ctx); err != nil {
		return 0, s.explain(op, cmd, err, "the command ended the session's shell with status %d and no other could be started", status)
	}
	return status, nil
}

// kernelSaid logs the kernel messages that were taken out of the output.
func (s *Shell) kernelSaid(sc *scanner) {
	for _, r := range sc.kernel {
		s.cfg.log.Debug("busybox: kernel message", "text", r)
	}
	sc.kernel = sc.kernel[:0]
}
