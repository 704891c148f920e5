//go:build unix

package linux_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
)

// realBusybox starts Debian's busybox sh on a pseudo-terminal, as nobody where
// the test runs as root: nothing of it may touch this machine.
func realBusybox(t *testing.T, prepare func(tty *os.File)) *os.File {
	t.Helper()
	bb := testtool.Need(t, "busybox", "apt-get install busybox-static")
	dir, err := os.MkdirTemp("", "sim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command(bb, "sh", "-i")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=vt102", "HOME=/", "PS1=# "}
	attr := &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	f, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	if prepare != nil {
		prepare(tty)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = tty, tty, tty, attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Its Close must end a Read: the pty library has made it blocking.
	fd, err := syscall.Dup(int(f.Fd()))
	if err == nil {
		syscall.CloseOnExec(fd)
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	f = os.NewFile(uintptr(fd), "pty")
	t.Cleanup(func() {
		f.Close()
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
	})
	return f
}

func realSession(t *testing.T) *busybox.Shell {
	t.Helper()
	c, err := console.New(realBusybox(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := busybox.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Login(testContext(t)); err != nil {
		t.Fatalf("Login: %v", err)
	}
	return s
}

// scripts are run in both worlds; output and status must be the same, but for
// what same rewrites.
var scripts = strings.Split(strings.TrimSpace(scriptTable), "\n----\n")

const scriptTable = `
echo hello world; echo -n x; echo -e 'a\tb\n\0101'; echo -ne '\x41\c'; echo; echo 'a\nb'; echo "$(printf 'a\n\n')|"
----
false
----
true && false || echo yes; ! true; echo $?
----
x=5; while [ $x -gt 0 ]; do printf '%d ' $x; x=$((x-1)); done; echo; echo ${x:-none} ${y:-none} ${y:+set} ${x:+set}
----
f() { local a=1; echo "$# $1 $*"; a=2; return 3; }; a=0; f p q "r s"; echo $? $a
----
s=/dev/mmcblk1p2; echo ${s##*/} ${s%/*} ${s#/dev/} ${s%%p*} ${#s}; n=foo; case $n in *o) echo o;; *) echo none;; esac
----
n=a/b/c; while case $n in */*) ;; *) false;; esac; do n=${n%%/*}!${n#*/}; done; echo $n
----
set -o pipefail; false | true; echo $?; true | false; echo $?; (exit 7) | cat; echo $?; set +o pipefail; false | true; echo $?
----
(exit 3); echo $?; { echo in; exit 4; }
----
sleep 0.1 & wait $!; echo $?; (exit 9) & wait $!; echo $?; wait 99999; echo $?
----
sleep 5 & p=$!; kill $p; wait $p 2>/dev/null; echo $?; kill -0 $p 2>/dev/null; echo $?
----
sleep 5 & p=$!; kill -9 $p; wait $p 2>/dev/null; echo $?
----
(trap 'echo bye' EXIT; echo hi); (trap 'echo term; exit 5' TERM; kill -TERM $(sh -c 'echo $PPID'); echo after); echo $?
----
sh -c 'kill -TERM $$'; echo $?
----
sh -c 'kill -9 $$'; echo $?
----
sh -c 'trap "echo caught" USR1; kill -USR1 $$; echo done'
----
cat <<A; cat <<'B'; cat <<-C
one $((1+1)) $(echo sub) \$x
A
two $((1+1)) $(echo sub) \$x
B
	tabs
	off
	C
----
echo a b c | { read x y; echo "$y/$x"; }; printf 'l1\nl2\n' | while read -r l; do echo "<$l>"; done; printf ' a\\b  c \n' | { read x; echo "<$x>"; }; printf ' a\\b  c \n' | { IFS= read -r x; echo "<$x>"; }
----
printf 'a:b:c\n' | { IFS=: read x y; echo "$x $y"; }; IFS=,; set -- $(echo 1,2,,3); echo $#; unset IFS; set -- a 'b c'; for i; do echo $i; done; echo "$*" "$@"; shift; echo $1; shift 5; echo $?
----
printf '%s-%s\n' a b c; printf '%5d|%-5s|%05.1s|%x %X %o %c%%\n' 42 ab xyz 255 255 8 hello; printf 'no newline'; printf '\n%b\n' 'a\tb\0101'; printf '\101\n'; printf '%d\n' 0x10 010 "'A"; printf '%s\n'
----
printf '%d\n' abc; echo $?
----
nosuchcommand; echo $?; ./nosuch; echo $?; /etc/passwd; echo $?; /; echo $?
----
cat nofile; echo $?; cat <nofile; echo $?; echo x >nodir/file; echo $?; cd nodir; echo $?; . ./nofile; echo not reached
----
[ -b /dev/null ]; echo $?; [ -c /dev/null ]; echo $?; [ -e nofile ]; echo $?; [ -d / ]; echo $?; [ -n "" ]; echo $?; [ a = a -a b != c ]; echo $?; [ 1 -lt 2 ] && [ ! 3 -eq 4 ]; echo $?; test; echo $?; [ x; echo $?; [ a -eq 1 ]; echo $?; [ a b ]; echo $?; [ ! ]; echo $?; [ -f ]; echo $?
----
>f; [ -s f ]; echo $?; echo x>f; [ -s f ]; echo $?; [ -f f ]; echo $?; [ -x f ]; echo $?; chmod +x f; [ -x f ]; echo $?; rm f; ls f; echo $?; rm f; echo $?; rm -f f; echo $?
----
mkdir -p a/b/c; mkdir a; echo $?; ls a; rmdir a; echo $?; rm a; echo $?; rm -r a; ls a; mkdir x/y; echo $?
----
echo 1 >a; echo 2 >>a; cat a; mv a b; cat b; mv nofile c; echo $?; cp b c; cmp b c; echo $?; echo 3 >>c; cmp b c; echo $?; mkdir d; mv b c d; ls d; rm -r d
----
exec 3>out; echo three >&3; exec 3>&-; cat out; { echo o; echo e >&2; } 2>&1 | sort; exec 9>&-; echo x >&9; echo $?; exec 4<out; read l <&4; echo $l; exec 4<&-; rm out
----
echo held >out; f() { eval "$c" </dev/null; }; c='command exec 9<out'; f; echo $?; rm out; cat <&9; c='command exec 9<nosuch'; f 2>/dev/null; echo $?; (cat <&9); command exec 9<&-; cat <&9; echo $?
----
ls nofile >/dev/null 2>&1; echo $?; { ls nofile; } 2>err; cat err; rm err
----
printf 'abcdefghij' >f; dd if=f bs=3 count=2 2>/dev/null; echo; dd if=f bs=1 skip=4 count=3 2>/dev/null; echo; dd if=f of=g bs=4 2>/dev/null; cat g; printf XY | dd of=g bs=1 seek=2 conv=notrunc 2>/dev/null; cat g; echo; printf XY | dd of=g bs=1 seek=2 2>/dev/null; cat g; echo; printf Z | dd of=g oflag=append conv=notrunc 2>/dev/null; cat g; rm f g
----
dd if=/dev/zero bs=1000 count=3 2>/dev/null | wc -c; dd if=/dev/zero of=f bs=1M count=2 conv=fsync status=noxfer; wc -c f; wc -c <f; dd if=f bs=512 skip_bytes=1; echo $?; dd if=f iflag=skip_bytes,count_bytes skip=10 count=20 2>/dev/null | wc -c; rm f
----
dd if=nofile of=/dev/null; echo $?; dd if=/dev/null of=nodir/f; echo $?; dd iflag=foo; echo $?; dd conv=bar </dev/null; echo $?; dd bs=0 </dev/null; echo $?; dd bs=x </dev/null; echo $?; dd if=/; echo $?
----
dd if=/dev/zero of=/dev/full bs=512 count=2 status=noxfer; echo $?; echo x >/dev/full; echo $?; cat /etc/passwd >/dev/full; echo $?
----
(printf abc; sleep 0.2; printf def) | dd bs=6 count=1 2>/dev/null; echo; (printf abc; sleep 0.2; printf def) | dd bs=6 count=1 iflag=fullblock 2>/dev/null; echo; printf abc | dd bs=2 conv=sync 2>/dev/null | od -An -v -tx1
----
printf abc | sha256sum; printf abc >f; sha256sum f; md5sum <f; sha1sum f nofile; echo $?; sha512sum f; crc32 f; sha256sum f >s; sha256sum -c s; echo $?; echo x >f; sha256sum -c s; echo $?; rm f s
----
printf '1\n2\n3\n4\n5\n' >f; head -n 2 f; head -2 f; head -c 3 f; tail -n 2 f; tail -n +4 f; tail -c 3 f; wc -l f; wc <f; wc -lc f; head -n x f; echo $?; head nofile; echo $?; tail nofile; echo $?; head -n 1 f f; rm f
----
printf 'hello\n' | tr a-z A-Z; printf 'a  b\n' | tr -s ' '; printf 'a1b2\n' | tr -d 0-9; echo 'mmcblk!x' | tr '!' /; printf 'a:b:c\n' | cut -d: -f2,3; printf 'abcdef\n' | cut -c2-4; printf 'x\n' | tr
----
printf 'foo\nbar\nFoo\n' >f; grep foo f; grep -i foo f; grep -v foo f; grep -c o f; grep -n bar f; grep -q nope f; echo $?; grep -E 'fo+|ba' f; grep -F . f; echo $?; grep x nofile; echo $?; grep -o 'o*$' f; grep '^b[a-c]r$' f; grep -c ^processor /dev/null; rm f
----
printf 'pos:\t12\nflags: 1\n' | sed -n 's/^pos:[^0-9]*/dutflash-read /p'; echo abc | sed 's/b/[&]/'; echo aaa | sed 's/a/b/g'; echo aaa | sed 's/a/b/2'; echo 'a/b' | sed 's|/|:|'; printf '1\n2\n3\n' | sed -n 2p; printf '1\n2\n3\n' | sed 1d; printf '1\n2\n3\n' | sed '/2/q'; echo 'x=1' | sed 's/\(.*\)=\(.*\)/\2=\1/'; echo ab | sed -E 's/(a)(b)/\2\1/'; sed -n 's/a/' </dev/null; echo $?
----
printf 'hello world, this is some text for base64 to wrap around at the margin of the line' >f; base64 f; base64 f | base64 -d; echo; base64 -w 20 f; od -An -v -tx1 f; hexdump -v -e '1/1 "%02x"' f; echo; hexdump -C f; xxd -p f; od -c f; rm f; : | base64; printf 'YQ==' | base64 -d; echo
----
seq 3; seq 2 4; seq 1 2 7; seq -s , 3; expr 1 + 2; expr 7 / 2; expr 5 - 5; echo $?; basename /a/b.c .c; dirname /a/b/c; dirname a
----
readlink nofile; echo $?; readlink -f nofile | sed 's/.*\///'; ln -s a b; readlink b; ls b; echo $?; [ -L b ]; echo $?; readlink -f /dev/../dev/null; rm b
----
sleep x; echo $?; timeout 1 sleep 5; echo $?; timeout 5 sh -c 'exit 3'; echo $?; sleep; echo $?
----
command -v echo; command -v nosuch; echo $?; command -v cd; type cd nosuch; echo $?; command echo ok; command nosuch; echo $?
----
set -e; echo a; if false; then :; fi; false || true; false; echo never
----
set -u; echo ${x-default}; echo $nosuchvariable; echo never
----
: ${x:?is missing}; echo never
----
echo $((1/0)); echo never
----
eval 'echo $((2*(3+4))) $((7%4)) $((1<<10)) $((0x1f)) $((010)) $((5>3)) $((5>3&&0)) $((x=4)) $x $((-7/2)) $((~0)) $((1?2:3))'
----
if true; then echo x
----
echo "unterminated
----
if
----
if true; then
----
while
----
while true; do
----
{ echo a
----
(echo a
----
echo a |
----
echo a; fi
----
echo a;; echo b
----
echo $(echo a; (
----
f() {
----
echo a; )
----
case x in x) echo y
----
a=1 b=2; echo $a$b; a=3 sh -c 'echo $a'; echo $a; a=4 eval 'echo $a'; export c=5; sh -c 'echo $c'; unset c; sh -c 'echo $c'; readonly r=1; (r=2); echo $?
----
i=0; for x in a b c; do for y in 1 2 3; do [ $y = 2 ] && continue 2; [ $x = c ] && break 2; echo $x$y; done; done; until [ $i -ge 2 ]; do i=$((i+1)); done; echo $i
----
f() { echo f1; g; echo f2; }; g() { echo g; return 7; }; f; echo $?; unset -f g; f
----
mkfifo p; (echo through >p) & cat p; wait; rm p; mkfifo /; echo $?
----
yes | head -n 2; yes | head -c 4 | wc -c; set -o pipefail; yes | head -n 1; echo $?
----
d=$(mktemp -d) || exit; [ -d "$d" ]; echo $?; rmdir "$d"; f=$(mktemp); [ -f "$f" ]; echo $?; rm "$f"
----
echo $(echo a; echo b) "$(echo a; echo b)" 'single $x' "dq \"q\" \$x" a\ b; x='a   b'; echo $x; echo "$x"; x='*'; echo "$x"; set -f; echo *; set +f
----
touch a1 a2 b1; echo a*; echo *1; echo [ab]1; echo c*; echo "a*"; for i in a*; do echo $i; done; rm a1 a2 b1
----
umask; cd /; pwd; cd - >/dev/null; cd /dev; pwd; echo $PWD $OLDPWD | wc -w
----
trap 'echo t' INT; trap; trap - INT; trap; trap '' TERM; trap; trap - TERM; trap foo BAR; echo $?
----
getopts ab: o -a -b val; echo $o $OPTIND; 
----
sh -c 'echo $0 $1 $#' zero one two; echo 'echo from stdin; exit 6' | sh; echo $?; printf 'echo script $1\nnosuch\nexit 8\n' >s.sh; sh s.sh arg; echo $?; printf '#!/bin/sh\necho exec $0\n' >e.sh; chmod 755 e.sh; ./e.sh; chmod 644 e.sh; ./e.sh; echo $?; rm s.sh e.sh
----
printf 'echo one\nif\n' >s.sh; sh s.sh; echo $?; printf 'cd /nosuch\necho x >/nosuch/y\n: ${u?msg}\necho no\n' >s.sh; sh s.sh; echo $?; rm s.sh
----
printf 'x\n' | gzip -c 2>/dev/null | wc -c >/dev/null; printf H4sIAAAAAAAAA6vgAgDWDbQvAgAAAA== | base64 -d | zcat 2>&1 | head -c 20 | wc -c >/dev/null; printf junk | zcat >/dev/null 2>&1; echo $?
----
wget -q -O - http://127.0.0.1:1/; echo $?; wget -q -O - ftp; echo $?; wget -q -O /nosuch/x http://127.0.0.1:1/; echo $?
----
kill -0 999999; echo $?; kill -FOO 1; echo $?; kill; echo $?; kill %7; echo $?
----
echo $#; set -- a b; echo $# "${1}x" ${2:+y} ${1+"$@"}; for i in "$@" "" x"$@"y; do echo "<$i>"; done; set --; for i in "$@" ${1+"$@"}; do echo no; done
----
x=abc; echo ${x%c} ${x#a} ${x%%b*} ${x##*b}; y=; echo ${y:-d} ${y-d} ${z-d}; echo ${z:=new} $z; x="a b"; set -- $x "$x"; echo $#
----
nproc >/dev/null; uname >/dev/null; echo $?; id -u >/dev/null; hostname >/dev/null; date +%s | tr -d 0-9; uptime >/dev/null; ps >/dev/null; mount >/dev/null; dmesg >/dev/null 2>&1; sync; stat -c '%s %F' /dev/null
----
x='a  b'; set -- $x${y}z "$x"c d$x; echo $#; for i; do echo "<$i>"; done; IFS=:; z=':a::b:'; set -- $z; echo $#; IFS=' :'; z=' a : b :c'; set -- $z; echo $#; for i; do echo "<$i>"; done
----
case 'a*b' in a\*b) echo 1;; esac; case 'axb' in a\*b) echo no;; a"*"b) echo no;; a?b) echo 2;; esac; case '[x' in [x) echo 3;; esac; case d in [!a-c]) echo 4;; esac; case b in [!a-c]) echo no;; [[:alpha:]]) echo 5;; esac; x='a*'; case 'a*' in "$x") echo 6;; esac; case abc in $x) echo 7;; esac; x=a.b.c; echo ${x%.*} ${x%%.*} ${x#*.} ${x##*.} ${x%"${x#?}"}
----
printf 'a b  c \n:x:y:\n\\\n \tq\n' >f; { read a b; echo "<$a><$b>"; IFS=: read a b; echo "<$a><$b>"; read -r a; echo "<$a>"; read a; echo "<$a>"; read a; echo $?; } <f; printf 'no newline' | { read x; echo "$? $x"; }; rm f
----
printf '\303\244\377\001x' >f; x=$(cat f); printf %s "$x" | od -An -v -tx1; read -r y <f; printf %s "$y" | od -An -v -tx1; rm f
----
echo "a\
b" 'c\
d' e\
f; echo "q\$x \a \\ \"" \q; echo ~ ~/x "~"; echo ${x:-'a  b' c} "${x:-"d  e"}" "${x:-f  g}"
----
f() { for i in 1 2 3; do [ $i = 2 ] && return 5; echo $i; done; }; f; echo $?; g() { (exit 4); }; g && echo no; g || echo $?; while :; do while :; do break 2; done; done; echo out
----
echo $((-3)) $((+3)) $((!3)) $((~3)) $((1-1||0)) $((3&6)) $((3|4)) $((3^1)) $((8>>1)) $((5%3)) $((1<2)) $((2<=2)) $((3!=3)) $((2>=3)); x=5; echo $((x+=2)) $((x-=1)) $((x*=3)) $((x/=2)) $x; y='1+2'; echo $((y*2)) $((0xff)) $((x==9?1:2))
----
printf 'v=7; echo dotted $1\nreturn 4\necho no\n' >f; . ./f; echo $? $v; (exec echo replaced; echo no); (exec >g; echo into); cat g; rm f g
----
x=$(printf 'aB0 \t._~\001\177g'); for c in upper lower alpha digit alnum xdigit space blank punct cntrl graph print; do printf '%s' "$x" | tr "[:$c:]" '*' | od -An -c; y=$x; while [ -n "$y" ]; do case $y in [[:$c:]]*) printf 1;; *) printf 0;; esac; y=${y#?}; done; echo; done
----
echo 'Hello World 123' | tr '[:upper:]' '[:lower:]'; echo 'Hello World 123' | tr -d '[:digit:][:space:]'; echo; echo 'aabbcc' | tr -s 'a-c'; echo 'hello' | tr -cd 'l\n'; echo abc | tr abc 'xy'; printf 'a\tb\n' | tr '\t' ' '; printf '\101\n' | tr '\101' z
----
truncate -s 1000 f; wc -c <f; truncate -s 1k f; wc -c <f; truncate -s 0 f; wc -c <f; rm f; realpath /dev/../dev/null; realpath /nosuch/x; echo $?; usleep 10; echo $?; nohup true 2>/dev/null; echo $?; nice true; echo $?; setsid true; echo $?
----
expr 1 '<' 2; expr 3 '>=' 4; echo $?; expr a = a; expr 6 '*' 7; expr 7 % 4; expr 1 / 0; echo $?; expr x + 1; echo $?
----
set -o nosuch; echo $?
----
set -x; echo traced $((1+1)); set +x; set -f; echo /*; set +f
----
tty >/dev/null; echo $?; tty </dev/null; echo $?; test -t 0; echo $?; test -t 1; echo $?
----
sleep 0.5 & sleep 0.1 & wait; echo done; sleep 5 & kill %1; wait %1 2>/dev/null; echo $?; (sleep 5) & kill $!; wait $! 2>/dev/null; echo $?
----
printf 'c 3\na 1\nb 2\n' >f; sort f; sort -r f; cut -d ' ' -f 2 f; grep -w 1 f; grep -x 'b 2' f; grep -l a f; grep -h a f f; grep -m 1 '[0-9]' f; grep -e a -e b f; sed -e 1d -e 's/b/B/' f; sed '2,3d' f; sed '$d' f; sed -n '/a/,/b/p' f; sed '/a/!d' f; sed 's/\([a-z]\) \([0-9]\)/\2-\1/;s/$/./' f; sed 'y/abc/xyz/' f >/dev/null 2>&1; rm f
----
cat - </dev/null; echo x | cat - /dev/null; echo a >f; cat f - <<X
b
X
cp f g; cp nofile h; echo $?; cp f; echo $? | tail -n 1; mv f g; cat g; ln -s g l; cat l; rm l g; touch t; ls t; rm t
----
x=1; (x=2; echo $x); echo $x; echo 5 | read x; echo $x; { x=3; } ; echo $x; y=$(x=4; echo $x); echo $x $y
----
env -i sh -c 'echo $PATH' >/dev/null; A=b env | grep ^A=; echo a b c | xargs echo x; echo 1 2 3 | xargs -n 1 echo; which nosuch; echo $?
----
echo one | tee f g; cat f g; rm f g; printf 'b\na\nc\na\n' | sort; printf 'b\na\na\n' | sort -u; printf '10\n9\n' | sort -n; printf 'a\na\nb\n' | uniq; printf 'a\na\nb\n' | uniq -c
`

// same are parts of the output that may differ: numbers of processes, and the
// name that Debian's busybox gives to programs that it runs by itself.
var same = []struct{ re, to string }{
	{`[0-9.]+ seconds, [0-9.]+[KMG]?B/s`, "SPEED"},
	{`(?s)BusyBox v.*?multi-call binary\..*`, "USAGE"},
}

func normal(s string) string {
	for _, r := range same {
		s = regexp.MustCompile(r.re).ReplaceAllString(s, r.to)
	}
	return s
}

func status(t *testing.T, err error) int {
	t.Helper()
	var ce *busybox.CommandError
	if errors.As(err, &ce) {
		return ce.Status
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// TestBackgroundJobThatEndsMeanwhile is about a weakness of busybox 1.35: without
// line editing a job's end is the end of the input for a shell that waits for a
// line. Whatever our session makes of it, it must be the same in both worlds.
func TestBackgroundJobThatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	outcome := func(s *busybox.Shell) (string, bool) {
		if _, err := s.Run(testContext(t), "x=5; sleep 0.3 &"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		out, err := s.Run(testContext(t), "echo x is $x")
		return out, errors.Is(err, busybox.ErrShellLost)
	}
	wantOut, wantLost := outcome(realSession(t))
	gotOut, gotLost := outcome(session(t, linux.Config{}))
	if gotOut != wantOut || gotLost != wantLost {
		t.Errorf("simulation: %q, shell lost: %v; real busybox: %q, %v", gotOut, gotLost, wantOut, wantLost)
	}
}

func TestScriptsGiveTheSameAsOnRealBusybox(t *testing.T) {
	t.Parallel()
	real := realSession(t)
	var dialer net.Dialer
	sim := session(t, linux.Config{Dial: dialer.DialContext})
	if _, err := sim.Run(testContext(t), "cd /tmp"); err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		name, _, _ := strings.Cut(script, "\n")
		t.Run(name[:min(len(name), 40)], func(t *testing.T) {
			// In a subshell, so that what one leaves behind does not reach the next.
			run := func(s *busybox.Shell) (string, int) {
				out, err := s.Run(testContext(t), "(eval '"+strings.ReplaceAll(script, "'", `'\''`)+"')")
				return normal(out), status(t, err)
			}
			wantOut, wantStatus := run(real)
			gotOut, gotStatus := run(sim)
			if gotOut != wantOut || gotStatus != wantStatus {
				t.Errorf("%s\nsimulation (status %d):\n%s\nreal busybox (status %d):\n%s", script, gotStatus, gotOut, wantStatus, wantOut)
			}
		})
	}
}
