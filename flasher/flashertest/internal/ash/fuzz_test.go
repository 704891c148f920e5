package ash_test

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/applet"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/ash"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// lockedBuffer collects what a process writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Read(context.Context, []byte, int64) (int, error) { return 0, io.EOF }
func (l *lockedBuffer) Write(_ context.Context, b []byte, _ int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 1<<20 {
		return 0, kernel.ENOSPC
	}
	return l.b.Write(b)
}
func (l *lockedBuffer) Seekable() bool { return false }
func (l *lockedBuffer) Size() int64    { return 0 }
func (l *lockedBuffer) Close()         {}

// run runs a script with `sh -c` on a bare system.
func run(t testing.TB, script string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	k := kernel.New(ctx, io.Discard)
	for name, p := range (&applet.Machine{Network: &applet.Network{}}).Table() {
		if name != "reboot" && name != "poweroff" && name != "halt" {
			install(k, name, p)
		}
	}
	install(k, "sh", ash.Main)
	k.FS.Put("/tmp", k.FS.Directory())
	out := &lockedBuffer{}
	k.FS.Put("/dev/out", k.FS.Device(0o666, 1, 1, func(*kernel.Process, int) (kernel.Driver, error) { return out, nil }))
	k.FS.Put("/dev/null", k.FS.Text(func(*kernel.Process) string { return "" }, func(*kernel.Process, string) error { return nil }))
	p := k.Spawn(append([]string{"sh", "-c", script}, args...)...)
	f, err := k.FS.Open(p, "/dev/out", kernel.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.FDs.Set(0, f)
	p.FDs.Set(1, f.Retain())
	p.FDs.Set(2, f.Retain())
	k.Go(func() { p.Exit(ash.Main(p)) })
	select {
	case <-p.Done():
	case <-ctx.Done():
	}
	status, _ := p.Status()
	k.Stop(nil)
	k.Wait()
	return out.b.String(), status
}

func install(k *kernel.Kernel, name string, p applet.Program) {
	n := k.FS.Text(func(*kernel.Process) string { return "" }, nil)
	n.SetMode(0o755)
	n.Program = p
	k.FS.Put("/bin/"+name, n)
}

// FuzzShell runs whatever comes: it must end, and nothing may panic or be left.
func FuzzShell(f *testing.F) {
	for _, s := range []string{
		"echo $((1+2)) ${x:-y} ${x%%a*} ${#x} $* \"$@\" ${1+\"$@\"}", "for i in a b; do echo $i; done | tr a-z A-Z", "f() { local x=1; return $x; }; f || echo $?",
		"case $1 in a*) echo a;; [!b-d]) ;; esac", "cat <<X\n$(echo hi)\nX\n", "x=$(echo 'a  b'); IFS=: read a b <<X\n1:2:3\nX\necho $a $b", "trap 'echo bye' EXIT; (exit 3) & wait $!",
		"set -eu; echo ${nope}", "exec 3>/tmp/f; echo x >&3; exec 3>&-; cat /tmp/f", "sed -n 's/a\\(b\\)/\\1/gp' /tmp/x; grep -E '(' x; cut -d: -f1-3", "printf '%5.2s|%x|%b' abc 10 '\\0101'",
		"[ a = b -o -f / ] && test ! -z x", "echo ~ ~/x /*/s* \"*\"", "while :; do break 2; done; until false; do break; done", "head -c 5 /bin/sh | od -An -tx1; dd if=/tmp of=/x", "${", "$((", "\"", "`echo`", "a=(1)", "((", "<<", "echo ${x#${y%z}}", "$((a=b=3,a/0))", "${x?}",
		"! ! true", "{ }", "()", "if", ";;", "echo \\", "f(){ f; }; f", "eval eval eval exit 4", ". /nosuch", "kill -9 $$", "export 1=2", "set -- ; shift 9; getopts a: x -a", "read -n 3 -t 0 x", "timeout 0 sleep 9", "xargs -n 0 echo", "seq 1 0 3 | head -n 2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		if len(script) > 500 {
			return
		}
		run(t, script, "zero", "one", "two words")
	})
}
