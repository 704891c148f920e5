package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
)

// indexSum stands for a list of block sizes. Like xz itself it keeps a digest
// instead of the list, so that millions of blocks take no memory.
type indexSum struct {
	count  int64
	digest hash.Hash
}

func newIndexSum() *indexSum { return &indexSum{digest: sha256.New()} }

func (s *indexSum) add(unpadded, uncompressed int64) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(unpadded))
	binary.LittleEndian.PutUint64(b[8:], uint64(uncompressed))
	s.digest.Write(b[:]) // hash.Hash documents that it never fails
	s.count++
}

func (s *indexSum) equal(t *indexSum) bool {
	return s.count == t.count && bytes.Equal(s.digest.Sum(nil), t.digest.Sum(nil))
}

// indexBytes counts and sums the bytes of an index.
type indexBytes struct {
	r    io.ByteReader
	sum  uint32
	size int64
	one  [1]byte
}

// ReadByte implements io.ByteReader.
func (x *indexBytes) ReadByte() (byte, error) {
	b, err := x.r.ReadByte()
	if err == nil {
		x.one[0] = b
		x.sum = crc32.Update(x.sum, crc32.IEEETable, x.one[:])
		x.size++
	}
	return b, err
}

// readIndex reads an index whose first byte, the zero, was read already. It
// calls start with the number of records, then record for each, and returns
// the size of the whole index.
func readIndex(r io.ByteReader, start func(count int64) error, record func(unpadded, uncompressed int64)) (int64, error) {
	x := &indexBytes{r: r, sum: crc32.ChecksumIEEE([]byte{0}), size: 1}
	count, err := readVLI(x)
	if err != nil {
		return 0, err
	}
	if err := start(count); err != nil {
		return 0, err
	}
	for range count {
		unpadded, err := readVLI(x)
		if err != nil {
			return 0, err
		}
		uncompressed, err := readVLI(x)
		if err != nil {
			return 0, err
		}
		if unpadded < 5 || unpadded > maxVLI-3 {
			return 0, corrupt("the index lists a block of %d bytes", unpadded)
		}
		record(unpadded, uncompressed)
	}
	for range padding(x.size) {
		b, err := x.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != 0 {
			return 0, corrupt("the padding of the index is not zero")
		}
	}
	var sum [4]byte
	for i := range sum {
		if sum[i], err = r.ReadByte(); err != nil {
			return 0, err
		}
	}
	if binary.LittleEndian.Uint32(sum[:]) != x.sum {
		return 0, corrupt("the CRC32 of the index is wrong")
	}
	return x.size + 4, nil
}
