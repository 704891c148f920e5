package artefact

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The tokens of a flattened device tree's structure block, from chapter 5 of
// the Devicetree Specification.
const (
	fdtBeginNode = 1
	fdtEndNode   = 2
	fdtProp      = 3
	fdtNop       = 4
	fdtEnd       = 9
)

const (
	fdtHeader  = 40
	maxNodes   = 100000
	maxDepth   = 64
	maxStrings = 1 << 20
)

// node is what is kept of a node: where it is, and its "default" property,
// which names the default configuration of a FIT.
type node struct {
	path        string
	defaultConf string
}

var errFDT = errors.New("the device tree blob is damaged")

// parseFDT lists the nodes of the first two levels of a flattened device tree of
// which head is the header and total the size. A FIT carries whole kernels as properties, so
// they are passed over and never held in memory.
func parseFDT(r io.ReaderAt, head []byte, total int64) ([]node, error) {
	at := func(off int) int64 { return int64(binary.BigEndian.Uint32(head[off:])) }
	structOff, stringsOff, version := at(8), at(12), at(20)
	if version < 16 {
		return nil, fmt.Errorf("%w: version %d is not supported", errFDT, version)
	}
	if structOff >= total || stringsOff > total || structOff%4 != 0 {
		return nil, fmt.Errorf("%w: offsets outside of the blob", errFDT)
	}
	names := make([]byte, min(total-stringsOff, maxStrings))
	if n, err := r.ReadAt(names, stringsOff); err != nil && !(errors.Is(err, io.EOF) && n == len(names)) {
		return nil, err
	}
	w := fdtWalk{in: bufio.NewReader(io.NewSectionReader(r, structOff, total-structOff)), names: names}
	for {
		done, err := w.token()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, bufio.ErrBufferFull) {
				err = fmt.Errorf("%w: it ends within its structure", errFDT)
			}
			return nil, err
		}
		if done {
			return w.nodes, nil
		}
	}
}

type fdtWalk struct {
	in    *bufio.Reader
	names []byte
	nodes []node
	count int   // nodes so far
	open  []int // indices of the nodes that we are in, deep for those that are not kept
}

// deep is the index of nodes below the second level, of which nothing is kept: names
// inside of each other could multiply a small file.
const deep = -1

func (w *fdtWalk) word() (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(w.in, b[:])
	return binary.BigEndian.Uint32(b[:]), err
}

// pad skips to the next multiple of four after n bytes.
func (w *fdtWalk) pad(n int) error {
	_, err := w.in.Discard(-n & 3)
	return err
}

func (w *fdtWalk) token() (done bool, err error) {
	token, err := w.word()
	if err != nil {
		return false, err
	}
	switch token {
	case fdtNop:
		return false, nil
	case fdtEnd:
		return true, nil
	case fdtBeginNode:
		return false, w.begin()
	case fdtEndNode:
		if len(w.open) == 0 {
			return false, fmt.Errorf("%w: a node ends that was not begun", errFDT)
		}
		w.open = w.open[:len(w.open)-1]
		return false, nil
	case fdtProp:
		return false, w.prop()
	}
	return false, fmt.Errorf("%w: token %#x", errFDT, token)
}

func (w *fdtWalk) begin() error {
	name, err := w.in.ReadSlice(0)
	if err != nil {
		return err
	}
	if w.count++; w.count > maxNodes || len(w.open) >= maxDepth {
		return fmt.Errorf("%w: more than %d nodes or %d levels", errFDT, maxNodes, maxDepth)
	}
	if len(w.open) > 2 {
		w.open = append(w.open, deep)
		return w.pad(len(name))
	}
	path := "/"
	if len(w.open) > 0 {
		path = strings.TrimSuffix(w.nodes[w.open[len(w.open)-1]].path, "/") + "/" + string(name[:min(len(name)-1, 256)])
	}
	w.open = append(w.open, len(w.nodes))
	w.nodes = append(w.nodes, node{path: path})
	return w.pad(len(name))
}

func (w *fdtWalk) prop() error {
	size, err := w.word()
	if err != nil {
		return err
	}
	off, err := w.word()
	if err != nil {
		return err
	}
	if int64(off) >= int64(len(w.names)) || size > 1<<31-1 {
		return fmt.Errorf("%w: a property outside of the blob", errFDT)
	}
	if len(w.open) > 0 && w.open[len(w.open)-1] != deep && size < 256 && bytes.HasPrefix(w.names[off:], []byte("default\x00")) {
		value := make([]byte, size)
		if _, err := io.ReadFull(w.in, value); err != nil {
			return err
		}
		w.nodes[w.open[len(w.open)-1]].defaultConf = string(bytes.TrimRight(value, "\x00"))
	} else if _, err := w.in.Discard(int(size)); err != nil {
		return err
	}
	return w.pad(int(size))
}
