package bootloader

// ramPage is how much RAM is made at once.
const ramPage = 64 << 10

// ram is the board's memory as far as it was written.
type ram map[uint64]*[ramPage]byte

func (r ram) write(at uint64, data []byte) {
	for len(data) > 0 {
		page := r[at/ramPage]
		if page == nil {
			page = new([ramPage]byte)
			r[at/ramPage] = page
		}
		n := copy(page[at%ramPage:], data)
		at, data = at+uint64(n), data[n:]
	}
}

// read returns size bytes, at most 256 MiB; what was never written is zero.
func (r ram) read(at, size uint64) []byte {
	out := make([]byte, min(size, 256<<20))
	for rest := out; len(rest) > 0; {
		n := min(len(rest), int(ramPage-at%ramPage))
		if page := r[at/ramPage]; page != nil {
			copy(rest[:n], page[at%ramPage:])
		}
		at, rest = at+uint64(n), rest[n:]
	}
	return out
}
