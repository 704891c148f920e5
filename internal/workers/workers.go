// Package workers is what the scripts have in common that run on the board and carry out
// what the host decides: each worker asks over HTTP for a task, does it, and reports how
// it went with its next question.
package workers

import (
	"context"
	_ "embed" // the scripts' beginning and end
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

//go:embed ask.sh
var ask string

//go:embed run.sh
var run string

// Script returns a whole script from its own part. That sets url to the address of the
// session and shifts the arguments until only the names of its workers are left, and has
// a function worker, which is given a name, asks by "ask NAME REPORT" and returns an exit
// status when it is told to quit; "fetch URL SECONDS" prints what is at a URL.
func Script(own string) []byte { return []byte(ask + own + run) }

// Host decides what the workers do.
type Host interface {
	// Report takes how a worker's task ended.
	Report(worker string, task int64, status int, sum string)
	// Next returns the line of the worker's next task, and what is to be done once it
	// is on its way, nil for nothing.
	Next(ctx context.Context, worker string) (line string, after func())
}

// Handler answers the workers: GET with the query parameters worker, and task, status and
// sum for the report on its last task.
func Handler(h Host) http.Handler {
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
				http.Error(w, fmt.Sprintf("worker %s: %v", name, err), http.StatusBadRequest)
				return
			}
			h.Report(name, id, status, q.Get("sum"))
		}
		line, after := h.Next(r.Context(), name)
		line += "\n"
		w.Header().Set("Content-Length", strconv.Itoa(len(line)))
		io.WriteString(w, line)
		if after != nil {
			http.NewResponseController(w).Flush() // the board begins with it
			after()
		}
	})
}
