package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
)

// checkType is the integrity check that a stream's flags name.
type checkType int

const (
	checkNone   checkType = 0
	checkCRC32  checkType = 1
	checkCRC64  checkType = 4
	checkSHA256 checkType = 10
)

func (c checkType) String() string {
	switch c {
	case checkNone:
		return "none"
	case checkCRC32:
		return "CRC32"
	case checkCRC64:
		return "CRC64"
	case checkSHA256:
		return "SHA-256"
	}
	return "unknown"
}

func (c checkType) supported() bool {
	return c == checkNone || c == checkCRC32 || c == checkCRC64 || c == checkSHA256
}

// size is how many bytes the check takes at the end of a block.
func (c checkType) size() int64 {
	switch c {
	case checkCRC32:
		return 4
	case checkCRC64:
		return 8
	case checkSHA256:
		return 32
	}
	return 0
}

// checksum computes one block's integrity check.
type checksum struct {
	kind   checkType
	crc32  uint32
	crc64  uint64
	table  *crc64.Table
	sha256 hash.Hash
}

func newChecksum(kind checkType) *checksum {
	c := &checksum{kind: kind}
	switch kind {
	case checkCRC64:
		c.table = crc64.MakeTable(crc64.ECMA)
	case checkSHA256:
		c.sha256 = sha256.New()
	}
	return c
}

func (c *checksum) add(p []byte) {
	switch c.kind {
	case checkCRC32:
		c.crc32 = crc32.Update(c.crc32, crc32.IEEETable, p)
	case checkCRC64:
		c.crc64 = crc64.Update(c.crc64, c.table, p)
	case checkSHA256:
		c.sha256.Write(p) // hash.Hash documents that it never fails
	}
}

// verify compares the sum with the one stored in the file.
func (c *checksum) verify(stored []byte) error {
	var sum []byte
	switch c.kind {
	case checkCRC32:
		sum = binary.LittleEndian.AppendUint32(nil, c.crc32)
	case checkCRC64:
		sum = binary.LittleEndian.AppendUint64(nil, c.crc64)
	case checkSHA256:
		sum = c.sha256.Sum(nil)
	}
	if !bytes.Equal(sum, stored) {
		return corrupt("the %s of the data is %x, the file says %x", c.kind, sum, stored)
	}
	return nil
}
