package busybox

import (
	"bytes"
	"crypto/rand"
	"regexp"
	"strings"
)

// mark is a pair of random words. The board prints it as "a.b"; it is typed in
// two parts, so that no echo of what was typed contains it.
type mark struct{ a, b string }

// Consonants only: no word of ours ever spells ERROR or a tool's name.
const markLetters = "bcdfghjkmnpqrstvwxz"

func newMark() mark { return mark{word(), word()} }

// word returns nine random letters, 38 bits.
func word() string {
	var b [9]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = markLetters[int(b[i])%len(markLetters)]
	}
	return string(b[:])
}

// beginOf is what the board prints right before the output of the command that
// is started with "_fr id". The echo of that has the word only once.
func beginOf(id string) string { return "<" + id + "." + id + ">" }

// endOf is how the line behind the output begins; the status follows, twice,
// because one bit is enough to make a success of a failure.
func endOf(id string) string { return "<" + id + "." + id + ":" }

// quitOf is what is printed when the inner shell of that name has ended, where
// it was started guarded.
func quitOf(name string) string { return "<" + name + "." + name + ">" }

// open is how an answer begins.
func (m mark) open() string { return "<" + m.a + "." + m.b + ":" }

// close is how a framed text ends.
func (m mark) close() string { return ":" + m.b + "." + m.a + ">" }

// The names on the board all start with _f, so that they meet no script's own:
//
//	_fn name of the inner shell      _fq status with which an inner shell ended
//	_fp piece that was read last     _fy its mark, "-" when spent
//	_fc command so far               _fv mark of the piece added to it last
//	_fd mark of the last command     _fs its status, empty until it has ended
//	_fw a line feed                  _fl line that was read last
//
// and in the outer shell _fo, _fk, _fu, the terminal's and printk's settings
// and the prompt to put back, and _fx, which is set there only.

// question asks the shell that listens for its state. It changes nothing, so
// it may be asked any number of times, and any POSIX shell understands it. It
// has no quotation marks: one that gets lost would swallow all that follows.
func (m mark) question() string {
	return `echo \<` + m.a + `.\` + m.b + `:$_fn:$_fd:$_fs:$?:$_fq:$_fs\>` + "\n"
}

// value asks for the value of a shell expression.
func (m mark) value(expr string) string {
	return `echo \<` + m.a + `.\` + m.b + `:` + expr + `:` + m.b + `.\` + m.a + `\>` + "\n"
}

// answer is the answer to a question.
type answer struct {
	name   string // of the inner shell, "" when another shell answers
	done   string // mark of the command that was started last
	status string // of that command; "" when it did not come to its end
	last   string // $?
	quit   string // status with which the inner shell ended
}

var (
	answerFields = regexp.MustCompile(`^([a-z]*):([a-z]*):([0-9]*):([0-9]+):([0-9]*):([0-9]*)>`)
	endFields    = regexp.MustCompile(`^([0-9]+):([0-9]+)>`)
)

// findAnswer looks for the first undamaged answer to m's question in text and
// returns where it starts and ends.
func findAnswer(text []byte, m mark) (a answer, start, end int, ok bool) {
	open := []byte(m.open())
	for from := 0; ; {
		i := bytes.Index(text[from:], open)
		if i < 0 {
			return a, 0, 0, false
		}
		i += from
		from = i + len(open)
		rest := text[from:min(len(text), from+128)]
		f := answerFields.FindSubmatch(rest)
		if f == nil || !bytes.Equal(f[3], f[6]) {
			continue
		}
		return answer{string(f[1]), string(f[2]), string(f[3]), string(f[4]), string(f[5])}, i, from + len(f[0]), true
	}
}

// findFramed looks for a text that the board has put between m's marks.
func findFramed(text string, m mark) (string, bool) {
	_, rest, ok := strings.Cut(text, m.open())
	if !ok {
		return "", false
	}
	body, _, ok := strings.Cut(rest, m.close())
	return body, ok
}

// scanner separates a command's output from the frame around it. The bytes may
// arrive in pieces of any size.
type scanner struct {
	id   string // of the command
	end  mark   // of the question behind it
	name string // of the inner shell
	kmsg bool   // kernel messages can be told by their CR LF and are taken out

	filter kmsgFilter
	buf    []byte
	begun  bool
	kernel []string // messages that were taken out
}

// feed takes the next bytes. It returns what is certainly the command's
// output, and the answer that ends it.
func (sc *scanner) feed(b string) (out []byte, a answer, done bool) {
	in := []byte(b)
	if sc.kmsg {
		var records []string
		in, records = sc.filter.feed(in)
		sc.kernel = append(sc.kernel, records...)
	}
	sc.buf = append(sc.buf, in...)
	if !sc.begun {
		begin := []byte(beginOf(sc.id))
		if i := bytes.Index(sc.buf, begin); i >= 0 {
			if after := sc.buf[i+len(begin):]; len(after) > 0 {
				sc.buf = bytes.TrimPrefix(after, []byte("\n"))
				sc.begun = true
			}
		}
	}
	at := -1
	if open := []byte(endOf(sc.id)); sc.begun {
		if at = bytes.Index(sc.buf, open); at >= 0 {
			rest := sc.buf[at+len(open):]
			if f := endFields.FindSubmatch(rest); f != nil && bytes.Equal(f[1], f[2]) {
				out = bytes.Clone(sc.buf[:at])
				sc.buf = bytes.Clone(rest[len(f[0]):])
				return out, answer{name: sc.name, done: sc.id, status: string(f[1])}, true
			}
		}
	}
	if a, start, end, ok := findAnswer(sc.buf, sc.end); ok {
		// Damaged marks may stand before a good answer.
		if at >= 0 && at < start {
			start = at
		}
		for _, mark := range []string{sc.end.open(), quitOf(sc.name)} {
			if i := bytes.Index(sc.buf[:start], []byte(mark)); i >= 0 {
				start = i
			}
		}
		if sc.begun || a.done == sc.id {
			out = bytes.Clone(sc.buf[:start])
		} // else the command has not started: that was something else
		sc.buf = bytes.Clone(sc.buf[end:])
		return out, a, true
	}
	if !sc.begun {
		return nil, a, false
	}
	keep := sc.hold()
	out = bytes.Clone(sc.buf[:len(sc.buf)-keep])
	sc.buf = append(sc.buf[:0], sc.buf[len(sc.buf)-keep:]...)
	return out, a, false
}

// hold returns how many bytes at the end may still become a mark.
func (sc *scanner) hold() int {
	keep := 0
	for _, mark := range []string{endOf(sc.id), sc.end.open(), quitOf(sc.name)} {
		open := []byte(mark)
		if i := bytes.Index(sc.buf, open); i >= 0 {
			keep = max(keep, len(sc.buf)-i)
		}
		for n := min(len(open)-1, len(sc.buf)); n > keep; n-- {
			if bytes.HasSuffix(sc.buf, open[:n]) {
				keep = n
			}
		}
	}
	return keep
}

// rest is what has arrived of an output whose end did not.
func (sc *scanner) rest() []byte {
	sc.buf = append(sc.buf, sc.filter.flush()...)
	return bytes.Clone(sc.buf)
}

// maxTyped is how much of a command goes on one line, far below the 4096 bytes
// of a terminal's line buffer, and maxPiece how much goes between two checks.
const (
	maxTyped = 160
	maxPiece = 1000
)

// dataLines writes text as comment lines for the reader on the board: "#-"
// starts a new line of the text, "#+" goes on with it, "#." ends the piece. Should
// the reader not be there, the shell takes them for what they look like:
// comments.
func dataLines(text string) string {
	var b strings.Builder
	kind := "#+"
	for line := range strings.SplitSeq(text, "\n") {
		for {
			n := min(len(line), maxTyped)
			b.WriteString(kind + line[:n] + "\n")
			line, kind = line[n:], "#+"
			if line == "" {
				break
			}
		}
		kind = "#-"
	}
	b.WriteString("#.\n")
	return b.String()
}
