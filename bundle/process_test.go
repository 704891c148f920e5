package bundle_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/bundle"
)

// openEnv makes this test program, started as another process, do nothing but
// open a bundle, say so, and keep it open until its input ends.
const openEnv = "DUTFLASH_TEST_OPEN"

func TestMain(m *testing.M) {
	if ref, dir, ok := strings.Cut(os.Getenv(openEnv), " "); ok {
		if err := openForOthers(ref, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func openForOthers(ref, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := bundle.Open(ctx, ref, bundle.WithCacheDir(dir))
	if err != nil {
		return err
	}
	fmt.Println("opened", b.Digest())
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, b.Close())
}

// other is a process that opens a bundle.
type other struct {
	*exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

func start(t *testing.T, ref, dir string) *other {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), openEnv+"="+ref+" "+dir)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &other{cmd, in, bufio.NewReader(out)}
}

func (o *other) opened(t *testing.T) {
	t.Helper()
	for {
		line, err := o.out.ReadString('\n')
		if strings.HasPrefix(line, "opened ") {
			return
		}
		if err != nil {
			t.Fatalf("the other process ended: %v", err)
		}
	}
}

func TestPruneRespectsOtherProcesses(t *testing.T) {
	host := startRegistry(t, nil)
	push(t, host, "b", "v1", smallBundle()...)
	dir := t.TempDir()
	o := start(t, host+"/b:v1", dir)
	o.opened(t)
	c, err := bundle.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Prune(t.Context(), bundle.PruneOptions{MaxSize: 1}); err != nil || r.InUse != 1 || r.Dropped != 0 {
		t.Errorf("while it is open elsewhere: %+v, %v", r, err)
	}
	o.in.Close()
	io.Copy(io.Discard, o.out)
	if err := o.Wait(); err != nil {
		t.Error(err)
	}
	if r, err := c.Prune(t.Context(), bundle.PruneOptions{MaxSize: 1}); err != nil || r.Dropped != 1 || r.Kept != 0 {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
}

func TestManyProcesses(t *testing.T) {
	host := startRegistry(t, nil)
	layers := smallBundle()
	layers[1].data = bytes.Repeat([]byte("0123456789abcdef"), 256<<10)
	push(t, host, "b", "v1", layers...)
	dir := t.TempDir()
	var all []*other
	for range 4 {
		all = append(all, start(t, host+"/b:v1", dir))
	}
	for _, o := range all {
		o.opened(t)
		o.in.Close()
		io.Copy(io.Discard, o.out)
		if err := o.Wait(); err != nil {
			t.Error(err)
		}
	}
	b := open(t, host+"/b:v1", bundle.WithCacheDir(dir), bundle.WithOffline())
	if read(t, b, "data/kernel") != string(layers[1].data) {
		t.Error("wrong content")
	}
}

// TestKilledInTheMiddle kills a process while it downloads. The cache then has
// nothing half, and the next one starts from what was whole.
func TestKilledInTheMiddle(t *testing.T) {
	g := &gate{}
	host := startRegistry(t, g.wrap)
	layers := smallBundle()
	layers[1].data = bytes.Repeat([]byte("0123456789abcdef"), 256<<10)
	push(t, host, "b", "v1", layers...)
	half := make(chan struct{})
	var once sync.Once
	name := filepath.Base(blobPath("", layers[1].data))
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, name) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(layers[1].data)))
		w.Write(layers[1].data[:3<<20])
		w.(http.Flusher).Flush()
		once.Do(func() { close(half) })
		<-r.Context().Done()
		return true
	})
	dir := t.TempDir()
	o := start(t, host+"/b:v1", dir)
	<-half
	tmp := filepath.Join(dir, "dutflash-v1", "tmp")
	waitFor(t, "half a blob", func() bool { // so that there is something to clean up
		files, _ := os.ReadDir(tmp)
		for _, f := range files {
			if fi, err := f.Info(); err == nil && fi.Size() > 1<<20 {
				return true
			}
		}
		return false
	})
	if err := o.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	o.Wait()
	if _, err := os.Stat(blobPath(dir, layers[1].data)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a blob is in its place: %v", err)
	}
	if _, err := bundle.Open(t.Context(), host+"/b:v1", bundle.WithCacheDir(dir), bundle.WithOffline()); !errors.Is(err, bundle.ErrOffline) {
		t.Errorf("offline after the crash: %v", err)
	}
	g.set(up)
	if read(t, open(t, host+"/b:v1", bundle.WithCacheDir(dir)), "data/kernel") != string(layers[1].data) {
		t.Error("wrong content")
	}
	c, err := bundle.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prune(t.Context(), bundle.PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(tmp); err != nil || len(files) > 0 {
		t.Errorf("left in tmp: %v, %v", files, err)
	}
}

// waitFor polls until something outside of this process has happened.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
		runtime.Gosched()
		<-time.After(5 * time.Millisecond)
	}
}

// TestNoGoroutineStays opens, fails and cancels, and then counts.
func TestNoGoroutineStays(t *testing.T) {
	host := startRegistry(t, nil)
	push(t, host, "b", "v1", smallBundle()...)
	mine := func() int {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		return strings.Count(stacks, "dutflash/bundle.(") + strings.Count(stacks, "oras-go") + strings.Count(stacks, "net/http.(*persistConn).readLoop")
	}
	http.DefaultClient.CloseIdleConnections()
	waitFor(t, "quiet before the test", func() bool { http.DefaultClient.CloseIdleConnections(); return mine() == 0 })
	for range 5 {
		b, err := bundle.Open(t.Context(), host+"/b:v1", bundle.WithCacheDir(t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Open(t.Context(), host+"/b:v2", bundle.WithCacheDir(t.TempDir())); err == nil {
			t.Fatal("no error")
		}
	}
	waitFor(t, "the end of all goroutines", func() bool { return mine() == 0 })
}
