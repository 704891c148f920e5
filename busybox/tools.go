package busybox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Tools is what a board can do. The zero value is a board that can do nothing.
type Tools struct {
	CPUs    int    // processors online; 0 where the board does not tell
	Memory  int64  // bytes available to programs (MemAvailable); 0 where the board does not tell
	Kernel  string // "Linux 6.1.0 aarch64"
	Busybox string // first line of busybox's own help; "" where there is no busybox

	DDInput  map[string]bool // iflag= values that dd understands: fullblock, direct, count_bytes, skip_bytes
	DDOutput map[string]bool // oflag= values: direct, seek_bytes
	DDConv   map[string]bool // conv= values: fsync, notrunc, fdatasync, sparse

	programs map[string]bool
}

// lookedFor are the programs that Tools asks for.
const lookedFor = `curl wget tftp nc xz xzcat gzip zcat bzip2 bzcat zstd zstdcat lz4 lz4cat lzma lzcat unlzma lzop
	sha256sum sha512sum sha1sum md5sum crc32 cksum blkdiscard blockdev partprobe fallocate udhcpc ip ifconfig route
	base64 uudecode xxd hexdump od dd mktemp timeout setsid stty sync nproc date hwclock awk sed cmp tee head tail wc
	mkfifo cat sleep fsfreeze mount umount dmesg reboot poweroff insmod modprobe mmc flash_erase ubiformat`

// ddFlags are the operands of dd that Tools tries.
func ddFlags() [][2]string {
	return [][2]string{
		{"iflag", "fullblock direct count_bytes skip_bytes"},
		{"oflag", "direct seek_bytes append"},
		{"conv", "fsync fdatasync notrunc sparse"},
	}
}

// Has reports whether the board has the named program.
func (t Tools) Has(name string) bool { return t.programs[name] }

// Pick returns the first of the named programs that the board has, and an
// error that wraps [ErrNoTool] and names them all where it has none.
func (t Tools) Pick(names ...string) (string, error) {
	for _, n := range names {
		if t.Has(n) {
			return n, nil
		}
	}
	return "", &Error{Op: "tools", Err: ErrNoTool,
		Detail: "none of " + strings.Join(names, ", ") + "; build the initramfs with one of them"}
}

// Need returns an error that wraps [ErrNoTool] and names the first of the
// given programs that the board lacks.
func (t Tools) Need(names ...string) error {
	for _, n := range names {
		if !t.Has(n) {
			return &Error{Op: "tools", Err: ErrNoTool, Detail: n + "; build the initramfs with it"}
		}
	}
	return nil
}

// Decompressor returns the command that decompresses a format from standard
// input to standard output. format is "xz", "gz", "bz2", "zst", "lz4", "lzma",
// "lzo", or "" and "raw" for cat. Where the board has no such program the
// error wraps [ErrNoTool].
func (t Tools) Decompressor(format string) (string, error) {
	var choices []string
	switch format {
	case "", "raw":
		return "cat", nil
	case "xz":
		choices = []string{"xzcat", "xz -dc"}
	case "gz":
		choices = []string{"zcat", "gzip -dc"}
	case "bz2":
		choices = []string{"bzcat", "bzip2 -dc"}
	case "zst":
		choices = []string{"zstdcat", "zstd -dc"}
	case "lz4":
		choices = []string{"lz4cat", "lz4 -dc"}
	case "lzma":
		choices = []string{"lzcat", "unlzma -c", "lzma -dc"}
	case "lzo":
		choices = []string{"lzop -dc"}
	default:
		return "", &Error{Op: "tools", Err: ErrConfig, Detail: fmt.Sprintf("unknown compression %q", format)}
	}
	var names []string
	for _, c := range choices {
		name, _, _ := strings.Cut(c, " ")
		if t.Has(name) {
			return c, nil
		}
		names = append(names, name)
	}
	return "", &Error{Op: "tools", Err: ErrNoTool,
		Detail: fmt.Sprintf("no program for %s images (%s); build the initramfs with one, or have the host decompress", format, strings.Join(names, ", "))}
}

// Tools finds out what the board has. dd's flags are tried out, because they
// depend on how busybox was configured and its help text is often left out.
func (s *Shell) Tools(ctx context.Context) (Tools, error) {
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	var q strings.Builder
	fmt.Fprintf(&q, "for n in %s; do command -v $n >/dev/null 2>&1 && echo \"p $n\"; done\n", strings.Join(strings.Fields(lookedFor), " "))
	// An operand that is not understood is called "invalid", or brings up the
	// usage; /dev/null itself may refuse one that is ("Invalid argument").
	for _, f := range ddFlags() {
		fmt.Fprintf(&q, "for f in %s; do r=$(dd if=/dev/null of=/dev/null %s=$f 2>&1 </dev/null) || case $r in *invalid*|*nrecognized*|*nknown*|*sage*) continue;; *Invalid*) ;; *) continue;; esac; echo \"%s $f\"; done\n",
			f[1], f[0], f[0])
	}
	q.WriteString(`echo "cpus $(nproc 2>/dev/null || grep -c ^processor /proc/cpuinfo 2>/dev/null)"
while read -r k v u; do [ "$k" = MemAvailable: ] && echo "memory $v"; done </proc/meminfo
echo "kernel $(uname -s) $(uname -r) $(uname -m)"
busybox 2>/dev/null | while read -r l; do echo "busybox $l"; break; done
:`)
	out, err := s.exact(ctx, "tools", q.String())
	if err != nil {
		return Tools{}, err
	}
	t := Tools{programs: map[string]bool{}, DDInput: map[string]bool{}, DDOutput: map[string]bool{}, DDConv: map[string]bool{}}
	for line := range strings.SplitSeq(out, "\n") {
		key, v, _ := strings.Cut(line, " ")
		switch key {
		case "p":
			t.programs[v] = true
		case "iflag":
			t.DDInput[v] = true
		case "oflag":
			t.DDOutput[v] = true
		case "conv":
			t.DDConv[v] = true
		case "cpus":
			t.CPUs, _ = strconv.Atoi(v)
		case "memory":
			kb, _ := strconv.ParseInt(v, 10, 64)
			t.Memory = kb << 10
		case "kernel":
			t.Kernel = v
		case "busybox":
			t.Busybox = v
		}
	}
	return t, nil
}
