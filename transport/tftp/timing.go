package tftp

import "time"

const (
	// slack is how much later than expected an answer may be at least, however
	// even the answers were so far (G in RFC 6298). It is short, to make the loss
	// of a window's last block, or of its acknowledgement, cheap: nobody tells of
	// those, and what is sent again first is one block.
	slack = time.Millisecond
	// firstData is the least wait for the first block's answer: the options are
	// answered by a board that has nothing to store yet.
	firstData = 50 * time.Millisecond
	// doubts is how many answers in a row may leave open what they answer, before
	// the board is taken for slow.
	doubts = 4
)

// timing chooses when to send again, after RFC 6298: from measured round trips,
// doubled for each silence in a row, never above the longest wait.
type timing struct {
	first        time.Duration // wait before a round trip was measured
	longest      time.Duration
	retries      int
	srtt, rttvar time.Duration
	shift        int // doublings since the last answer
	atLongest    int // silences in a row at the longest wait
	doubt        time.Duration
	doubted      int
}

func (t *timing) wait() time.Duration {
	if t.srtt == 0 {
		return min(t.first<<min(t.shift, 20), t.longest)
	}
	return min((t.srtt+max(4*t.rttvar, slack))<<min(t.shift, 20), t.longest)
}

// options takes the round trip of the options, which were sent once.
func (t *timing) options(rtt time.Duration) {
	t.first = min(t.first, max(firstData, 4*rtt))
	t.shift = 0
}

// sample takes the round trip of data that was sent once (Karn).
func (t *timing) sample(rtt time.Duration) {
	rtt = max(rtt, time.Microsecond)
	t.shift, t.doubt, t.doubted = 0, 0, 0
	if t.srtt == 0 {
		t.srtt, t.rttvar = rtt, rtt/2
		return
	}
	t.rttvar += ((t.srtt - rtt).Abs() - t.rttvar) / 4
	t.srtt += (rtt - t.srtt) / 8
}

// doubtful takes the time from the first sending of what was sent more than once
// to its answer. Which of them was answered, nobody knows yet. A board that answers
// one and not the other, again and again, is a slow one: else each of its blocks
// would be sent twice.
func (t *timing) doubtful(rtt time.Duration) {
	t.doubt = rtt
	if t.doubted++; t.doubted >= doubts {
		t.sample(rtt)
	}
}

// echoed tells that there was a second answer: the first sending had arrived, and
// was answered first (RFC 3522). It reports whether that was in doubt.
func (t *timing) echoed() bool {
	if t.doubt == 0 {
		return false
	}
	t.sample(t.doubt)
	return true
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
