package image_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/image"
)

// slowServer serves one file, of which the second half comes when released is
// closed, and counts how often it is asked for.
type slowServer struct {
	*httptest.Server
	gets     atomic.Int32
	half     chan struct{} // gets a value when half of the file is out
	released chan struct{}
	release  func() // closes released, once
}

func newSlowServer(t *testing.T, b []byte) *slowServer {
	s := &slowServer{half: make(chan struct{}, 100), released: make(chan struct{})}
	s.release = sync.OnceFunc(func() { close(s.released) })
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		if r.Method == http.MethodHead {
			return
		}
		s.gets.Add(1)
		w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		s.half <- struct{}{}
		select {
		case <-s.released:
			w.Write(b[len(b)/2:])
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { s.release(); s.Close() })
	return s
}

// start prepares what s serves.
func (s *slowServer) start(t *testing.T, cache string) *image.Prepared {
	t.Helper()
	p, err := image.Prepare(t.Context(), open(t, s.URL+"/i.raw.gz"), image.WithCacheDir(cache), image.WithChunkSize(mib), image.WithoutBmap())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// early reads what must be there when only half of the file has come.
func early(t *testing.T, p *image.Prepared, raw []byte) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // there a follower gets everything at the end, see follower.grown
	}
	b := make([]byte, mib)
	if _, err := p.ReadAt(b, 0); err != nil || !bytes.Equal(b, raw[:mib]) {
		t.Errorf("early read: %v", err)
	}
}

func TestPreparedOnceByAllWhoWantIt(t *testing.T) {
	raw := rawImage(6*mib + 99)
	packed := pack(t, packers[2], raw)
	s := newSlowServer(t, packed)
	cache := t.TempDir()
	all := make([]*image.Prepared, 5)
	for i := range all {
		all[i] = s.start(t, cache)
	}
	for _, p := range all {
		early(t, p, raw)
	}
	s.release()
	for _, p := range all {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, p, raw, packed)
		p.Close()
	}
	if n := s.gets.Load(); n != 1 {
		t.Errorf("the source was read %d times", n)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "images", "part-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFollowerTakesThePlaceOfOneWhoGivesUp(t *testing.T) {
	raw := rawImage(6 * mib)
	packed := pack(t, packers[2], raw)
	s := newSlowServer(t, packed)
	cache := t.TempDir()
	first := s.start(t, cache)
	<-s.half
	second := s.start(t, cache)
	early(t, second, raw)
	first.Close()
	<-s.half // asked for again
	s.release()
	if err := second.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, second, raw, packed)
}

const followEnv = "DUTFLASH_IMAGE_TEST_FOLLOW"

// TestPrepareInAnotherProcess is the other process of the test below.
func TestPrepareInAnotherProcess(t *testing.T) {
	cache := os.Getenv(followEnv)
	if cache == "" {
		return // no test of its own: it runs as a child of TestPreparedOnceByAllProcesses
	}
	p, err := prepare(t, open(t, os.Getenv(followEnv+"_URL")), image.WithCacheDir(cache), image.WithChunkSize(mib), image.WithoutBmap())
	fmt.Printf("%s %v\n", p.SHA256(), err)
}

// TestPreparedOnceByAllProcesses follows another process, which ends well, or
// is killed in the middle.
func TestPreparedOnceByAllProcesses(t *testing.T) {
	raw := rawImage(6 * mib)
	packed := pack(t, packers[2], raw)
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprintf("kill=%v", kill), func(t *testing.T) {
			s := newSlowServer(t, packed)
			cache := t.TempDir()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPrepareInAnotherProcess$")
			child.Env = append(os.Environ(), followEnv+"="+cache, followEnv+"_URL="+s.URL+"/i.raw.gz")
			child.WaitDelay = time.Minute
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			<-s.half
			p := s.start(t, cache)
			early(t, p, raw)
			gets := int32(1)
			if kill {
				child.Process.Kill()
				<-s.half // asked for by p
				gets++
			}
			s.release()
			line, _ := bufio.NewReader(out).ReadString('\n')
			io.Copy(io.Discard, out)
			child.Wait()
			if want := hexSum(raw) + " <nil>\n"; !kill && line != want {
				t.Errorf("child: %q, want %q", line, want)
			}
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			check(t, p, raw, packed)
			if n := s.gets.Load(); n != gets {
				t.Errorf("the source was read %d times, want %d", n, gets)
			}
			if left, _ := filepath.Glob(filepath.Join(cache, "images", "part-*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
