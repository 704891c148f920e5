package busybox

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf8"
)

// quote makes a single shell word of s.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// exact runs a command in a subshell and returns its output without trailing
// line feeds, which the board sends twice, with its length. It is for output that
// decides something: a device's size must not be a digit shorter because the UART
// dropped one, nor another because a bit arrived wrong. What is longer than a few
// kilobytes belongs in Download.
func (s *Shell) exact(ctx context.Context, op, cmd string) (string, error) {
	full := "_fe=$(" + cmd + "\n)\nset -- $?\n" + `printf '%s:%s:%s:%s\n' "${#_fe}" "$_fe" "${#_fe}" "$_fe"` + "\n(exit $1)"
	for range tries {
		out, err := s.run(ctx, op, full)
		if ce, ok := err.(*CommandError); ok {
			if v, ok := measured(out); ok {
				return v, s.commandError(cmd, ce.Status, v)
			}
			continue
		}
		if err != nil {
			return "", err
		}
		if v, ok := measured(out); ok {
			return v, nil
		}
		s.cfg.log.Warn("busybox: an answer arrived damaged, asking again", "command", short(s.hide(cmd), 120))
	}
	return "", s.fail(op, cmd, ErrCorrupt, "its output arrived damaged %d times; look at the serial line", tries)
}

// measured takes the text out of "LENGTH:TEXT:LENGTH:TEXT". Some shells count bytes
// and some characters.
func measured(out string) (string, bool) {
	head, rest, ok := strings.Cut(strings.TrimSuffix(out, "\n"), ":")
	n, err := strconv.Atoi(head)
	size := len(rest) - len(head) - 2 // of both texts
	if !ok || err != nil || size < 0 || size%2 != 0 {
		return "", false
	}
	v := rest[:size/2]
	return v, rest == v+":"+head+":"+v && (len(v) == n || utf8.RuneCountInString(v) == n)
}
