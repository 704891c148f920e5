package busybox

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

const (
	uploadBlock   = 2250     // bytes of a file in one command: 3000 characters of base64
	downloadBlock = 24 << 10 // bytes asked for in one command
	// maxDownload bounds what Download keeps in memory; at 115200 baud it
	// would take two hours.
	maxDownload = 64 << 20
)

// fileTools is how this board encodes and digests.
type fileTools struct {
	base64 bool
	hex    string // command that prints its input as hexadecimal digits, "" where there is none
	sum    string // command that prints a digest of its input
	newSum func() hash.Hash
}

// fileTools asks the board once per transfer.
func (s *Shell) fileTools(ctx context.Context, op string) (fileTools, error) {
	out, err := s.exact(ctx, op, "for n in base64 hexdump od sha256sum sha1sum md5sum; do command -v $n >/dev/null 2>&1 && echo $n; done; :")
	if err != nil {
		return fileTools{}, err
	}
	t := fileTools{}
	for n := range strings.FieldsSeq(out) {
		switch n {
		case "base64":
			t.base64 = true
		case "hexdump":
			t.hex = `hexdump -v -e '1/1 "%02x"'`
		case "od":
			if t.hex == "" {
				t.hex = "od -An -v -tx1"
			}
		}
		if t.sum != "" {
			continue // the first found is the best
		}
		switch n {
		case "sha256sum":
			t.sum, t.newSum = n, sha256.New
		case "sha1sum":
			t.sum, t.newSum = n, sha1.New
		case "md5sum":
			t.sum, t.newSum = n, md5.New
		}
	}
	if t.sum == "" {
		return t, &Error{Op: op, Err: ErrNoTool, Detail: "none of sha256sum, sha1sum, md5sum; without one nothing proves what arrived: build the initramfs with one"}
	}
	return t, nil
}

// digest is what the board's sum program prints for data.
func (t fileTools) digest(data []byte) string {
	h := t.newSum()
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// Upload writes data to the file path on the board, over the console alone,
// and compares the digest of the file with that of data. The file appears, or
// is replaced, only when it is right. It is meant for small files before there
// is a network: 115200 baud carry about 3 KB a second. Damage that repetition
// does not cure is [ErrCorrupt]; a board without base64 is served with printf,
// one without any digest program gives [ErrNoTool].
//
// Without a deadline in ctx the command timeout holds for each block of about
// 2 KB, not for the whole.
func (s *Shell) Upload(ctx context.Context, path string, data []byte) error {
	const op = "upload"
	if path == "" || strings.HasSuffix(path, "/") || typable(path) != "" {
		return &Error{Op: op, Err: ErrConfig, Detail: fmt.Sprintf("%q is not a file name that can be typed", path)}
	}
	path = operand(path)
	t, err := s.fileTools(ctx, op)
	if err != nil {
		return err
	}
	part := quote(path + ".part")
	if err := s.each(ctx, op, ": >"+part); err != nil {
		return err
	}
	for at := 0; at < len(data); at += uploadBlock {
		block := data[at:min(at+uploadBlock, len(data))]
		cmd := "printf " + quote(escape(block)) + " >>" + part
		if t.base64 {
			cmd = "printf %s " + quote(base64.StdEncoding.EncodeToString(block)) + " | base64 -d >>" + part
		}
		if err := s.each(ctx, op, cmd); err != nil {
			return errors.Join(err, s.discardPart(ctx, op, part))
		}
	}
	got, err := s.exact(ctx, op, t.sum+" <"+part)
	if err != nil {
		return errors.Join(err, s.discardPart(ctx, op, part))
	}
	if want := t.digest(data); firstField(got) != want {
		err := s.fail(op, t.sum, ErrCorrupt, "%s of %s is %s, want %s; look at the serial line and its speed", t.sum, path, firstField(got), want)
		return errors.Join(err, s.discardPart(ctx, op, part))
	}
	return s.each(ctx, op, "mv "+part+" "+quote(path))
}

// each runs a command of a longer operation, with the command timeout for
// itself where ctx has no deadline.
func (s *Shell) each(ctx context.Context, op, cmd string) error {
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	_, err := s.run(ctx, op, cmd)
	return err
}

// discardPart removes what a failed upload has left, where the board still listens.
func (s *Shell) discardPart(ctx context.Context, op, part string) error {
	if s.Err() != nil {
		return nil // said already
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), blameTime)
	defer cancel()
	_, err := s.run(ctx, op, "rm -f "+part)
	return err
}

// escape writes data as a format for printf, which every shell has.
func escape(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		switch {
		case c == '%':
			b.WriteString("%%")
		case c > ' ' && c < 0x7f && c != '\\' && c != '\'':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return b.String()
}

// Download reads the file path on the board, over the console alone: block by
// block, each with its length and digest, and again where they do not fit. The
// digest of the whole is compared at the end. It also reads what has no size,
// such as files in /proc, as far as their contents hold still. Files of more
// than 64 MiB are refused with [ErrOutputTooLong].
//
// Without a deadline in ctx the command timeout holds for each block of 24 KB,
// not for the whole.
func (s *Shell) Download(ctx context.Context, path string) ([]byte, error) {
	const op = "download"
	if path == "" || typable(path) != "" {
		return nil, &Error{Op: op, Err: ErrConfig, Detail: fmt.Sprintf("%q is not a file name that can be typed", path)}
	}
	file := quote(operand(path))
	t, err := s.fileTools(ctx, op)
	if err != nil {
		return nil, err
	}
	encode := "base64"
	if !t.base64 {
		if encode = t.hex; encode == "" {
			return nil, &Error{Op: op, Err: ErrNoTool, Detail: "none of base64, hexdump, od; build the initramfs with one of them"}
		}
	}
	size, err := s.size(ctx, op, path, file)
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, size)
	for n := 0; ; n++ {
		block, err := s.block(ctx, op, path, fmt.Sprintf("dd if=%s bs=%d skip=%d count=1 2>/dev/null", file, downloadBlock, n), encode, t)
		if err != nil {
			return nil, err
		}
		data = append(data, block...)
		if len(data) > maxDownload {
			return nil, s.fail(op, path, ErrOutputTooLong, "more than %d bytes; fetch it over the network", maxDownload)
		}
		if len(block) < downloadBlock {
			break
		}
	}
	got, err := s.exact(ctx, op, t.sum+" <"+file)
	if err != nil {
		return nil, err
	}
	if want := t.digest(data); firstField(got) != want {
		return nil, s.fail(op, path, ErrCorrupt, "%s is %s on the board and %s here; did the file change meanwhile?", t.sum, firstField(got), want)
	}
	return data, nil
}

// size returns the size of a readable file.
func (s *Shell) size(ctx context.Context, op, path, file string) (int, error) {
	out, err := s.exact(ctx, op, "wc -c <"+file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		return 0, s.fail(op, path, ErrCorrupt, "its size is %q", out)
	}
	if n > maxDownload {
		return 0, s.fail(op, path, ErrOutputTooLong, "%d bytes; fetch it over the network", n)
	}
	return n, nil
}

// block brings one block over, again until its digest is right.
func (s *Shell) block(ctx context.Context, op, path, read, encode string, t fileTools) ([]byte, error) {
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	for range tries {
		out, err := s.run(ctx, op, read+" | "+encode+"; echo; "+read+" | "+t.sum)
		if err != nil {
			return nil, err
		}
		out = strings.TrimSpace(out)
		i := strings.LastIndexByte(out, '\n')
		body, sum := out[:i+1], firstField(out[i+1:])
		body = strings.Join(strings.Fields(body), "")
		var data []byte
		if t.base64 {
			data, err = base64.StdEncoding.DecodeString(body)
		} else {
			data, err = hex.DecodeString(body)
		}
		if err == nil && t.digest(data) == sum {
			return bytes.Clone(data), nil
		}
		s.cfg.log.Warn("busybox: a block of a file arrived damaged, asking again", "file", path)
	}
	return nil, s.fail(op, path, ErrCorrupt, "a block arrived damaged %d times; look at the serial line", tries)
}

// firstField is the digest in the output of a sum program.
func firstField(s string) string {
	f, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return f
}
