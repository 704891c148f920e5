package tftp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

const (
	opRRQ   = 1
	opWRQ   = 2
	opDATA  = 3
	opACK   = 4
	opERROR = 5
	opOACK  = 6

	codeUndefined = 0
	codeNotFound  = 1
	codeAccess    = 2
	codeIllegal   = 4
)

// maxRequest is the longest request allowed (RFC 2347).
const maxRequest = 512

// request is a read request as asked. Options that are absent or out of their
// RFC's range are -1: RFC 2347 wants those left out of the answer.
type request struct {
	name       string
	netascii   bool
	blksize    int
	windowsize int
	timeout    int // seconds
	tsize      bool
}

// parseRequest takes a read request apart. It rejects what RFC 1350 and 2347
// do not allow.
func parseRequest(p []byte) (request, error) {
	r := request{blksize: -1, windowsize: -1, timeout: -1}
	if len(p) < 2 || binary.BigEndian.Uint16(p) != opRRQ {
		return r, fmt.Errorf("%w: not a read request", ErrRequest)
	}
	if len(p) > maxRequest {
		return r, fmt.Errorf("%w: %d bytes are more than the %d allowed", ErrRequest, len(p), maxRequest)
	}
	if p[len(p)-1] != 0 {
		return r, fmt.Errorf("%w: not terminated by NUL", ErrRequest)
	}
	fields := bytes.Split(p[2:len(p)-1], []byte{0})
	if len(fields) < 2 || len(fields[0]) == 0 {
		return r, fmt.Errorf("%w: file name or mode missing", ErrRequest)
	}
	if len(fields)%2 != 0 {
		return r, fmt.Errorf("%w: option without a value", ErrRequest)
	}
	r.name = cleanName(string(fields[0]))
	switch mode := strings.ToLower(string(fields[1])); mode {
	case "octet":
	case "netascii":
		r.netascii = true
	default:
		return r, fmt.Errorf("%w: mode %.20q is not octet or netascii", ErrRequest, mode)
	}
	for i := 2; i < len(fields); i += 2 {
		v := string(fields[i+1])
		switch strings.ToLower(string(fields[i])) {
		case "blksize":
			r.blksize = number(v, 8, 65464)
		case "windowsize":
			r.windowsize = number(v, 1, 65535)
		case "timeout":
			r.timeout = number(v, 1, 255)
		case "tsize":
			r.tsize = number(v, 0, 1<<30) >= 0
		}
	}
	return r, nil
}

// cleanName drops one leading slash: U-Boot's bootfile often has it.
func cleanName(s string) string { return strings.TrimPrefix(s, "/") }

func number(s string, lo, hi int) int {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < uint64(lo) || n > uint64(hi) {
		return -1
	}
	return int(n)
}

func errorPacket(code uint16, msg string) []byte {
	if len(msg) > 400 {
		msg = msg[:400]
	}
	p := binary.BigEndian.AppendUint16(nil, opERROR)
	p = binary.BigEndian.AppendUint16(p, code)
	return append(append(p, msg...), 0)
}

func appendOption(p []byte, name string, value int64) []byte {
	p = append(append(p, name...), 0)
	return append(strconv.AppendInt(p, value, 10), 0)
}

// refusal turns an ERROR packet of a client into an error.
func refusal(p []byte) error {
	msg, _, _ := bytes.Cut(p[4:], []byte{0})
	return fmt.Errorf("%w: error code %d %.200q", ErrRefused, binary.BigEndian.Uint16(p[2:]), msg)
}
