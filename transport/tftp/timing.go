package tftp

import "time"

// minRTO is short enough to make the loss of a window's last block, or of its
// acknowledgement, cheap: nobody tells of those. A host or a board that is busy for
// longer gets one block twice, which does no harm.
const minRTO = 2 * time.Millisecond

// timing chooses when to send again, after RFC 6298: from measured round trips,
// doubled for each silence in a row, never above the longest wait.
type timing struct {
	first        time.Duration // wait before a round trip was measured
	longest      time.Duration
	retries      int
	srtt, rttvar time.Duration
	shift        int // doublings since the last answer
	atLongest    int // silences in a row at the longest wait
}

func (t *timing) wait() time.Duration {
	if t.srtt == 0 {
		return min(t.first<<min(t.shift, 20), t.longest)
	}
	return min(max(t.srtt+4*t.rttvar, minRTO)<<min(t.shift, 20), t.longest)
}

// sample takes the round trip of a packet that was sent once (Karn).
func (t *timing) sample(rtt time.Duration) {
	rtt = max(rtt, time.Microsecond)
	t.shift = 0
	if t.srtt == 0 {
		t.srtt, t.rttvar = rtt, rtt/2
		return
	}
	t.rttvar += ((t.srtt - rtt).Abs() - t.rttvar) / 4
	t.srtt += (rtt - t.srtt) / 8
}

// answered tells that the client made progress. A wait that was doubled stays
// long until a packet that was sent once is answered in time (RFC 6298, 5.7), or
// a busy machine would get each window twice; but where each window loses
// something, waits must not grow for ever.
func (t *timing) answered() { t.shift, t.atLongest = t.shift/2, 0 }

// silence tells that a wait ended without an answer; it returns false when the
// retries are used up.
func (t *timing) silence() bool {
	if t.wait() >= t.longest {
		t.atLongest++
	}
	t.shift++
	return t.atLongest <= t.retries
}
