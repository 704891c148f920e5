package extents

import (
	"bytes"
	_ "embed" // the board's script
	"errors"
	"io"
	"net/http"
	"strconv"
)

// script is what the board runs.
//
//go:embed worker.sh
var script []byte

// Script returns the script for the board. Its arguments are the device, the
// URL of [Plan.Handler] without a trailing slash, dd flags for reading and for
// writing ("" for none), the program that digests, and the names of the workers to
// run side by side. "drop" in place of the flags for reading has it drop the page
// cache before it reads, for a dd without direct I/O.
func Script() []byte { return bytes.Clone(script) }

// Handler serves a plan under task and data; see [Plan.TaskHandler] and
// [Plan.DataHandler].
func (p *Plan) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/task", p.TaskHandler())
	mux.Handle("/data", p.DataHandler())
	return mux
}

// TaskHandler answers a worker: GET with the query parameters worker, and task,
// status and sum for the report on its last task. The answer is the line of the
// next [Task].
func (p *Plan) TaskHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		name := q.Get("worker")
		if name == "" {
			http.Error(w, "no worker is named", http.StatusBadRequest)
			return
		}
		if q.Has("task") {
			id, idErr := strconv.ParseInt(q.Get("task"), 10, 64)
			status, statusErr := strconv.Atoi(q.Get("status"))
			if err := errors.Join(idErr, statusErr); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			p.Report(name, id, status, q.Get("sum"))
		}
		task := p.Ask(r.Context(), name)
		answer := task.String() + "\n"
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		io.WriteString(w, answer)
		http.NewResponseController(w).Flush() // the board begins with it
		p.foresee(name, task.ID)
	})
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

func (c countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.p.mu.Lock()
	c.p.stats.Sent += int64(n)
	c.p.mu.Unlock()
	return n, err
}
