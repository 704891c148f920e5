package relay

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"go.bug.st/serial"

	"github.com/dutflash/dutflash/power"
)

// question is what a board answers with the state of all its relays.
const question = 0xff

// quiet is how long a board says nothing at the end of an answer: it has no mark
// for that, and the number of relays is not known.
const quiet = 200 * time.Millisecond

// maxAnswer is more than 255 relays can say.
const maxAnswer = 8 << 10

// state is on while one relay is (one), or while all of them are.
func (c *Controller) state(ctx context.Context, one bool) (bool, error) {
	if !c.config.status {
		return false, fmt.Errorf("%w: the board is not said to answer", power.ErrUnsupported)
	}
	var answer []byte
	err := c.with(ctx, "waiting for the board's answer (does it answer at all?)", func(p serial.Port) error {
		if err := p.ResetInputBuffer(); err != nil { // what it said before is old
			return err
		}
		if _, err := p.Write([]byte{question}); err != nil {
			return err
		}
		for part := make([]byte, 256); len(answer) < maxAnswer; {
			wait := serial.NoTimeout // closing the port ends it
			if len(answer) > 0 {
				wait = quiet
			}
			if err := p.SetReadTimeout(wait); err != nil {
				return err
			}
			n, err := p.Read(part)
			if err != nil || n == 0 && len(answer) > 0 {
				return err
			}
			answer = append(answer, part[:n]...)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	states := parse(answer)
	all, some := true, false
	for _, n := range c.relays {
		pulled, ok := states[n]
		if !ok {
			return false, fmt.Errorf("%w: the board's answer has no relay %d: %.80q", power.ErrRefused, n, answer)
		}
		on := pulled != c.config.normallyClosed
		all, some = all && on, some || on
	}
	if one {
		return some, nil
	}
	return all, nil
}

// stateLine is "CH1: ON"; some boards leave out the blank.
var stateLine = regexp.MustCompile(`(?i)CH ?(\d+) ?: ?(ON|OFF)`)

// parse returns which relays are pulled.
func parse(answer []byte) map[int]bool {
	states := map[int]bool{}
	for _, m := range stateLine.FindAllSubmatch(answer, -1) {
		if n, err := strconv.Atoi(string(m[1])); err == nil {
			states[n] = bytes.EqualFold(m[2], []byte("on"))
		}
	}
	return states
}
