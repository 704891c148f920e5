package extents

import (
	"context"
	_ "embed" // the board's script
	"io"
	"net/http"
	"strconv"

	"github.com/dutflash/dutflash/internal/workers"
)

// script is what the board runs.
//
//go:embed worker.sh
var script string

// Script returns the script for the board, which is run once for each phase. Its
// arguments are the device, the URL of [Plan.Handler] without a trailing slash, dd
// flags for reading and for writing ("" for none), a directory for what is to be
// digested, which is used where it is in memory ("" for none), and the names of the
// workers to run side by side. "drop" in place of the flags for reading has it drop the
// page cache before it reads, for a dd without direct I/O.
func Script() []byte { return workers.Script(script) }

// Handler serves a plan under task and data; see [Plan.TaskHandler] and
// [Plan.DataHandler].
func (p *Plan) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/task", p.TaskHandler())
	mux.Handle("/data", p.DataHandler())
	return mux
}

// TaskHandler answers a worker; see [workers.Handler]. The answer is the line of its
// next [Task].
func (p *Plan) TaskHandler() http.Handler { return workers.Handler(host{p}) }

// host is a plan as its workers see it.
type host struct{ p *Plan }

func (h host) Report(name string, id int64, status int, sums string) {
	h.p.Report(name, id, status, sums)
}

func (h host) Next(ctx context.Context, name string) (string, func()) {
	task := h.p.Ask(ctx, name)
	return task.String(), func() { h.p.foresee(name, task.ID) }
}

// DataHandler serves the bytes of a write task: GET with the query parameter
// task. The connection is cut where the image cannot be read, so that a short
// extent is never taken for a whole one.
func (p *Plan) DataHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.URL.Query().Get("task"), 10, 64)
		t := p.writeTask(id)
		if err != nil || t == nil {
			http.Error(w, "no such task", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(t.Argument, 10))
		for _, r := range t.Units[0] {
			n, err := io.Copy(countingWriter{w, p}, io.NewSectionReader(p.cfg.Image, r.Offset, r.Length))
			if err != nil || n != r.Length {
				panic(http.ErrAbortHandler)
			}
		}
	})
}

// writeTask returns the outstanding write task with that number.
func (p *Plan) writeTask(id int64) *Task {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		if w.task != nil && w.task.ID == id && w.task.Verb == Write {
			return w.task
		}
	}
	return nil
}

// countingWriter adds to the plan's bytes sent as they leave.
type countingWriter struct {
	w io.Writer
	p *Plan
}

// Write counts before the bytes leave: the board may have them, and say so, sooner than
// it returns.
func (c countingWriter) Write(b []byte) (int, error) {
	c.count(len(b))
	n, err := c.w.Write(b)
	c.count(n - len(b))
	return n, err
}

func (c countingWriter) count(n int) {
	c.p.mu.Lock()
	c.p.stats.Sent += int64(n)
	c.p.mu.Unlock()
}
