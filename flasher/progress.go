package flasher

import (
	"log/slog"
	"sync"
	"time"
)

// Event is one piece of news about an operation.
type Event struct {
	// Time is when it happened.
	Time time.Time
	// Step is what is being done.
	Step Step
	// State is StateStarted and StateDone once for each step, StateRunning
	// any number of times between, StateFailed instead of StateDone.
	State State
	// Done and Total are bytes; Total is 0 for a step that is not measured
	// in bytes. In StepWrite they are bytes of the image that are compared or
	// written, in StepVerify those that are read back.
	Done, Total int64
	// Wire is how many bytes of the image went over the network to the board,
	// in StepWrite and StepVerify: less than Done where the board had some
	// already, or got zeros without transfer. 0 where the board fetched the
	// image from elsewhere.
	Wire int64
	// Rate is bytes per second over the last few seconds, 0 when unknown.
	Rate float64
	// Remaining is an estimate for this step, 0 when unknown.
	Remaining time.Duration
	// Message says what is going on in a few words; it may be empty.
	Message string
	// Err is set with StateFailed.
	Err error
}

// State is where a step stands.
type State string

// The states of a step in an [Event].
const (
	StateStarted State = "started"
	StateRunning State = "running"
	StateDone    State = "done"
	StateFailed  State = "failed"
)

// rateWindow is how far back the rate of an event looks.
const rateWindow = 5 * time.Second

// meter turns byte counts of one step into events with a rate.
type meter struct {
	mu      sync.Mutex
	emit    func(Event)
	log     *slog.Logger
	step    Step
	name    string
	total   int64
	samples []sample
	logged  time.Time
}

type sample struct {
	at   time.Time
	done int64
}

// logInterval is how often progress goes to the log: often enough to see that
// it lives, seldom enough to read.
const logInterval = 5 * time.Second

func (m *meter) update(done int64) { m.updateWire(done, 0) }

func (m *meter) updateWire(done, wire int64) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = append(m.samples, sample{now, done})
	for len(m.samples) > 2 && now.Sub(m.samples[0].at) > rateWindow {
		m.samples = m.samples[1:]
	}
	ev := Event{Time: now, Step: m.step, State: StateRunning, Done: done, Total: m.total, Wire: wire, Message: m.name}
	first := m.samples[0]
	if dt := now.Sub(first.at).Seconds(); dt > 0 && done > first.done {
		ev.Rate = float64(done-first.done) / dt
		if m.total > done {
			ev.Remaining = time.Duration(float64(m.total-done) / ev.Rate * float64(time.Second))
		}
	}
	if now.Sub(m.logged) >= logInterval {
		if !m.logged.IsZero() {
			m.log.Info("progress", "step", m.step, "what", m.name,
				"megabytes", megabytes(done), "of", megabytes(m.total), "megabytes_per_second", megabytes(int64(ev.Rate)))
		}
		m.logged = now
	}
	m.emit(ev)
}

// megabytes rounds to what a person reads: 10^6 bytes, two decimals.
func megabytes(n int64) float64 { return float64(n/10_000) / 100 }
