package busybox

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The kernel's words for what kills a process or spoils a write.
var (
	reKilled   = regexp.MustCompile(`(?i)out of memory: kill|oom-kill:|oom_reaper`)
	reKernelIO = regexp.MustCompile(`(?i)I/O error,? (on )?dev|Buffer I/O error|mmc\d+: .*error -?\d+|blk_update_request|medium error`)
	reStamp    = regexp.MustCompile(`^(?:<\d+>)?\[ *(\d+\.\d+)\]`)
)

const blameTime = 10 * time.Second

// blame asks the kernel's log why a command failed, where only the kernel
// knows: a process that was killed, a device that fails. It never turns a
// failure into anything else.
func (s *Shell) blame(ctx context.Context, e *CommandError, began time.Time) error {
	killed := e.Status == 137 && e.Err == nil
	if !killed && !errors.Is(e.Err, ErrIO) {
		return e
	}
	took := time.Since(began)
	ctx, cancel := context.WithTimeout(ctx, blameTime)
	defer cancel()
	out, err := s.run(ctx, "run", "cat /proc/uptime; dmesg 2>/dev/null | tail -n 40")
	if err != nil {
		s.cfg.log.Debug("busybox: the kernel log cannot be read", "error", err)
		return e
	}
	head, log, _ := strings.Cut(out, "\n")
	up, err := strconv.ParseFloat(strings.Split(head+" ", " ")[0], 64)
	if err != nil {
		return e
	}
	since := up - took.Seconds() - 1
	var said []string
	for line := range strings.SplitSeq(log, "\n") {
		m := reStamp.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if at, err := strconv.ParseFloat(m[1], 64); err != nil || at < since {
			continue
		}
		if (killed && reKilled.MatchString(line)) || (!killed && reKernelIO.MatchString(line)) {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return e
	}
	if killed {
		e.Err = ErrOutOfMemory
	}
	e.Err = fmt.Errorf("%w (kernel: %s)", e.Err, short(said[len(said)-1], 200))
	return e
}
