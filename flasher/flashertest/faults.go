package flashertest

import (
	"fmt"
	"time"
)

// Faults is what is wrong with a [Board]. The zero value is a good one. Shares
// are from 0 to 1; what is random is decided by the board's seed.
type Faults struct {
	// DropCharacters and RepeatCharacters are the share of characters on the
	// serial line that get lost and that arrive twice, in both directions.
	DropCharacters, RepeatCharacters float64
	// FlipCharacters is the share of characters of which one bit, any of the eight,
	// arrives wrong, in both directions.
	FlipCharacters float64
	// Noise is the share of characters that the board prints which have a line
	// of something else in front of them, as when two programs share a line.
	Noise float64
	// CharactersPerSecond is the speed of the line; 0 is as fast as it goes. A
	// line of 115200 baud carries 11520.
	CharactersPerSecond int

	// NoDHCP has nobody answer, and NoEthernet has U-Boot find no network
	// device at all.
	NoDHCP, NoEthernet bool
	// TFTPLoss is the share of TFTP packets that get lost in each direction.
	TFTPLoss float64
	// TFTPTruncate ends each TFTP transfer after so many bytes as if it were
	// complete; 0 does not.
	TFTPTruncate int64
	// CutHTTP cuts the next CutHTTPTimes connections that carry more than
	// CutHTTPAfter bytes to the board.
	CutHTTPAfter int64
	CutHTTPTimes int

	// PastBootloader has the board ignore the stop key and boot what is
	// installed on it.
	PastBootloader bool
	// RefusePassword has the login refuse every password.
	RefusePassword bool

	// HangIn, PanicIn and ResetIn have the board hang, have its kernel panic, or
	// have it reset by itself that long after Linux was started, once; 0 does
	// not.
	HangIn, PanicIn, ResetIn time.Duration
	// ResetAtWritten resets the board when that many bytes were written to its
	// disks, once; 0 does not.
	ResetAtWritten int64

	// WriteErrorAt and ReadErrorAt are offsets of sectors of the disk that
	// cannot be written or read; 0 is none.
	WriteErrorAt, ReadErrorAt int64
	// FlipAt are offsets of bytes of which one bit comes out wrong whenever they
	// are written, without an error; with FlipOnce the first time only.
	FlipAt   []int64
	FlipOnce bool
	// Capacity, where not 0, is how many bytes the disk really has, at least
	// 64 KiB: what is written behind that falls on its beginning, as on a forged
	// card.
	Capacity int64
	// SwapDisks has the kernel find the second disk first, in all boots from then
	// on: it is /dev/mmcblk0 then, and the first is /dev/mmcblk1.
	SwapDisks bool
	// ReadOnly has the disk refuse to be written.
	ReadOnly bool
}

func (f *Faults) check() error {
	for name, share := range map[string]float64{
		"DropCharacters": f.DropCharacters, "RepeatCharacters": f.RepeatCharacters, "FlipCharacters": f.FlipCharacters, "Noise": f.Noise, "TFTPLoss": f.TFTPLoss,
	} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("%s is %v, which is no share from 0 to 1", name, share)
		}
	}
	for name, n := range map[string]int64{
		"CharactersPerSecond": int64(f.CharactersPerSecond), "TFTPTruncate": f.TFTPTruncate, "CutHTTPAfter": f.CutHTTPAfter,
		"CutHTTPTimes": int64(f.CutHTTPTimes), "HangIn": int64(f.HangIn), "PanicIn": int64(f.PanicIn), "ResetIn": int64(f.ResetIn),
		"ResetAtWritten": f.ResetAtWritten, "WriteErrorAt": f.WriteErrorAt, "ReadErrorAt": f.ReadErrorAt, "Capacity": f.Capacity,
	} {
		if n < 0 {
			return fmt.Errorf("%s is negative", name)
		}
	}
	return nil
}
