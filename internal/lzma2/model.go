package lzma2

// Sizes of the LZMA model, from the LZMA specification.
const (
	stateCount    = 12 // states of the literal/match history
	posStates     = 16 // 1 << the largest pb
	literalCoder  = 0x300
	maxLiteralExp = 4 // the largest lc+lp that LZMA2 allows
	matchMinLen   = 2

	probInit = 1 << 10 // one half
)

// lengthModel holds the probabilities of one of the two length coders.
type lengthModel struct {
	choice  uint16
	choice2 uint16
	low     [posStates][8]uint16
	mid     [posStates][8]uint16
	high    [256]uint16
}

// model holds every adaptive probability of an LZMA decoder. Arrays that are
// indexed by the state have 16 entries instead of 12, so that the compiler can
// prove an index masked with 15 to be in bounds.
type model struct {
	isMatch    [16 * posStates]uint16 // by state<<4 | position state
	isRep0Long [16 * posStates]uint16 // likewise
	isRep      [16]uint16
	isRepG0    [16]uint16
	isRepG1    [16]uint16
	isRepG2    [16]uint16
	posSlot    [4][64]uint16
	posSpecial [128]uint16 // by base+reverse tree index, 1 to 114
	align      [16]uint16
	matchLen   lengthModel
	repLen     lengthModel
	// literal has room behind the last coder so that each coder can be seen
	// as an array of 1024, which any 10-bit index fits.
	literal [literalCoder<<maxLiteralExp + 0x100]uint16
}

func (l *lengthModel) reset() {
	l.choice, l.choice2 = probInit, probInit
	for i := range l.low {
		fill(l.low[i][:])
		fill(l.mid[i][:])
	}
	fill(l.high[:])
}

// reset sets every probability to one half; literals only as far as lc+lp
// needs.
func (m *model) reset(lclp uint) {
	fill(m.isMatch[:])
	fill(m.isRep0Long[:])
	fill(m.isRep[:])
	fill(m.isRepG0[:])
	fill(m.isRepG1[:])
	fill(m.isRepG2[:])
	for i := range m.posSlot {
		fill(m.posSlot[i][:])
	}
	fill(m.posSpecial[:])
	fill(m.align[:])
	m.matchLen.reset()
	m.repLen.reset()
	fill(m.literal[:literalCoder<<lclp])
}

func fill(p []uint16) {
	for i := range p {
		p[i] = probInit
	}
}

// The state machine of LZMA: what the last symbols were. States below
// litStates mean that the last symbol was a literal.
const litStates = 7

// afterLiteral gives the state that follows a literal; 16 entries for the
// same reason as in model.
var afterLiteral = [16]uint8{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}
