package workers_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/workers"
)

// counter has each worker say a few numbers.
type counter struct {
	mu     sync.Mutex
	quit   int // the status to end with
	last   map[string]int64
	said   []string
	begun  int // answers whose afterwards ran
	failed int // how many answers get lost
}

func (c *counter) Report(name string, task int64, status int, sum string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if task == c.last[name] {
		c.said = append(c.said, fmt.Sprint(name, ":", task, ":", status, ":", sum))
	}
}

func (c *counter) Next(_ context.Context, name string) (string, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last[name]++; c.last[name] > 3 {
		return fmt.Sprintf("%d quit %d", c.last[name], c.quit), nil
	}
	return fmt.Sprintf("%d say %d", c.last[name], 7*c.last[name]), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.begun++
	}
}

const own = `url=$1
shift
worker() {
	report=
	while task=$(ask "$1" "$report"); do
		set -- "$1" $task
		[ "$3" != quit ] || return "$4"
		report="task=$2&status=0&sum=$4"
	done
	return 1
}
`

// TestScript runs workers on the real busybox.
func TestScript(t *testing.T) {
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	for _, quit := range []int{0, 3} {
		t.Run(fmt.Sprint("status ", quit), func(t *testing.T) {
			c := &counter{quit: quit, last: map[string]int64{}, failed: 2}
			h := workers.Handler(c)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c.mu.Lock()
				lost := c.failed > 0
				c.failed--
				c.mu.Unlock()
				if lost {
					panic(http.ErrAbortHandler)
				}
				h.ServeHTTP(w, r)
			}))
			defer srv.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, busybox, "sh", "-s", srv.URL, "a", "b")
			cmd.Stdin, cmd.Env = bytes.NewReader(workers.Script(own)), []string{"PATH="}
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != quit {
				t.Fatalf("%v, want exit status %d\n%s", err, quit, out)
			}
			slices.Sort(c.said)
			if want := []string{"a:1:0:7", "a:2:0:14", "a:3:0:21", "b:1:0:7", "b:2:0:14", "b:3:0:21"}; !slices.Equal(c.said, want) || c.begun != 6 {
				t.Errorf("reported %q, %d times afterwards; want %q", c.said, c.begun, want)
			}
		})
	}
}

func TestHandlerRefuses(t *testing.T) {
	c := &counter{last: map[string]int64{}}
	for query, says := range map[string]string{
		"":                         "no worker is named",
		"worker=a&task=x&status=0": "worker a",
		"worker=a&task=1":          "worker a",
		"worker=a&task=1&status=":  "worker a",
	} {
		w := httptest.NewRecorder()
		workers.Handler(c).ServeHTTP(w, httptest.NewRequest("GET", "/task?"+query, nil))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%q: %d %q, want 400 that says %q", query, w.Code, w.Body, says)
		}
	}
	if len(c.said) > 0 || c.last["a"] != 0 {
		t.Errorf("%+v", c)
	}
}
