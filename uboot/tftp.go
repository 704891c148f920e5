package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// File is what [Session.TFTPBoot] and [Session.LoadWget] load.
type File struct {
	// Name on the TFTP server, or the URL for LoadWget.
	Name string
	// Address in RAM, as U-Boot takes it: hexadecimal, with or without 0x, or a
	// variable such as ${kernel_addr_r}.
	Address string
	// Size is how many bytes must arrive; -1 where that is not known.
	Size int64
	// CRC32 (IEEE, as crc32 of zlib) of the file, compared where CheckCRC is
	// set and the build has the crc32 command.
	CRC32    uint32
	CheckCRC bool
}

// Loaded says what was brought into RAM.
type Loaded struct {
	// Size of the file in bytes.
	Size int64
	// Stored is how many bytes U-Boot says that it wrote ($filesize): more than
	// Size where the protocol pads ([Session.LoadXModem]).
	Stored int64
	// CRCChecked says that the bytes in RAM were compared with CRC32. It is
	// false where that was not asked for or the build has no crc32 command.
	CRCChecked bool
}

var (
	transferred = regexp.MustCompile(`Bytes transferred = (\d+)`)
	crcResult   = regexp.MustCompile(`==> ([0-9a-fA-F]{8})`)
	// stalled is a transfer whose last sign is a timeout.
	stalled  = regexp.MustCompile(`(?s)Loading: .*[*#T\x08\s]T\s*$`)
	safeWord = regexp.MustCompile(`^[A-Za-z0-9_.,:/+@%={}$-]+$`)
)

// TFTPBoot loads a file from $serverip into RAM and checks what arrived. Errors:
// [ErrTFTP] with the server's text, [ErrNoServer], [ErrNoARP], [ErrNoEthernet],
// [ErrSize], [ErrCRC]. How far it is, the TFTP server knows: the marks that U-Boot prints
// meanwhile stand for numbers of blocks that differ by build.
func (s *Session) TFTPBoot(ctx context.Context, f File) (Loaded, error) {
	cmd := "tftpboot " + f.Address + " " + f.Name
	l, err := s.tftpBoot(ctx, f, cmd)
	if err != nil {
		return l, s.fail("tftp", cmd, err)
	}
	return l, nil
}

func (s *Session) tftpBoot(ctx context.Context, f File, cmd string) (l Loaded, err error) {
	if !safeWord.MatchString(f.Name) || !safeWord.MatchString(f.Address) {
		return l, fmt.Errorf("name %q or address %q has a character that U-Boot's command line does not take", f.Name, f.Address)
	}
	out, err := s.run(ctx, cmd, networkLoops())
	m := transferred.FindStringSubmatch(out)
	known := recognise(out, networkFailures())
	switch {
	case err != nil && known != nil:
		return l, fmt.Errorf("%w: %w", known, err)
	case errors.Is(err, context.DeadlineExceeded) && stalled.MatchString(out):
		return l, fmt.Errorf("%w: %w", ErrNoServer, err)
	case err != nil:
		return l, err
	case m == nil && known != nil: // no exit status to tell
		return l, known
	}
	return s.checkLoaded(ctx, f, "tftpboot", out)
}

// checkLoaded compares what a command says that it loaded with the file.
func (s *Session) checkLoaded(ctx context.Context, f File, cmd, out string) (l Loaded, err error) {
	m := transferred.FindStringSubmatch(out)
	if m == nil {
		return l, fmt.Errorf("%w: %s did not say how much arrived: %q", ErrSize, cmd, out)
	}
	if l.Size, err = strconv.ParseInt(m[1], 10, 64); err != nil {
		return l, err
	}
	l.Stored = l.Size
	if f.Size >= 0 && l.Size != f.Size {
		return l, fmt.Errorf("%w: %d bytes arrived, the file has %d", ErrSize, l.Size, f.Size)
	}
	if f.CheckCRC && l.Size > 0 {
		l.CRCChecked, err = s.checkCRC(ctx, f.Address, l.Size, f.CRC32)
	}
	return l, err
}

// checkCRC has U-Boot compute the CRC over RAM.
func (s *Session) checkCRC(ctx context.Context, address string, size int64, want uint32) (checked bool, err error) {
	if s.crc32 == no {
		return false, nil
	}
	right := func(out string) bool {
		m := crcResult.FindStringSubmatch(out)
		return m != nil && strings.EqualFold(m[1], fmt.Sprintf("%08x", want))
	}
	out, err := s.read(ctx, fmt.Sprintf("crc32 %s 0x%x", address, size), 0, right)
	if errors.Is(err, ErrUnknownCommand) {
		s.crc32 = no
		s.cfg.log.Warn("This U-Boot has no crc32 command: what is in RAM is not checked beyond its size")
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.crc32 = yes
	m := crcResult.FindStringSubmatch(out)
	if m == nil {
		return false, fmt.Errorf("%w: crc32 printed %q", ErrCRC, out)
	}
	got, err := strconv.ParseUint(m[1], 16, 32)
	if err != nil {
		return false, err
	}
	if uint32(got) != want {
		return true, fmt.Errorf("%w: %08x in RAM, the file has %08x", ErrCRC, got, want)
	}
	return true, nil
}

// TFTPWindow asks for windows of n blocks (RFC 7440) of blockSize bytes in the
// transfers that follow, by $tftpwindowsize and $tftpblocksize. A build that does
// not know the variables ignores them: what was agreed is for the server to say.
// The returned function puts back what was there.
func (s *Session) TFTPWindow(ctx context.Context, n, blockSize int) (restore func(context.Context) error, err error) {
	var before []setting
	for _, v := range []setting{{"tftpwindowsize", strconv.Itoa(n)}, {"tftpblocksize", strconv.Itoa(blockSize)}} {
		old, err := s.env(ctx, v.name)
		if err != nil && !errors.Is(err, ErrNotDefined) {
			return nil, s.fail("tftp", "printenv "+v.name, errors.Join(err, s.putBack(ctx, before...)))
		}
		before = append(before, setting{v.name, old})
		if err := s.setEnv(ctx, v.name, v.value); err != nil {
			return nil, s.fail("tftp", "setenv "+v.name, errors.Join(err, s.putBack(ctx, before...)))
		}
	}
	return func(ctx context.Context) error {
		if err := s.putBack(ctx, before...); err != nil {
			return s.fail("tftp", "setenv", err)
		}
		return nil
	}, nil
}
