package applet

import (
	"bufio"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"
)

func sumTools() map[string]func(*call, []string) int {
	return map[string]func(*call, []string) int{
		"md5sum": sum(md5.New), "sha1sum": sum(sha1.New), "sha256sum": sum(sha256.New), "sha512sum": sum(sha512.New),
		"crc32": crc, "cksum": cksum,
	}
}

func sum(newHash func() hash.Hash) func(*call, []string) int {
	return func(c *call, args []string) int {
		o, files, ok := c.parse(args, "csw", "", nil)
		if !ok {
			return 1
		}
		if o.has('c') {
			return checkSums(c, files, newHash, o.has('s'))
		}
		return c.each(files, cannotOpen, func(name string, r io.Reader) int {
			h := newHash()
			if _, err, _ := c.copy(h, r); err != nil {
				if c.Killed() {
					return 1
				}
				return c.fail("read error: %v", err)
			}
			c.printf("%x  %s\n", h.Sum(nil), name)
			return 0
		})
	}
}

func checkSums(c *call, files []string, newHash func() hash.Hash, silent bool) int {
	failed, total := 0, 0
	status := c.each(files, cannotOpen, func(_ string, r io.Reader) int {
		sc := bufio.NewScanner(r)
		for sc.Scan() {
			want, name, ok := strings.Cut(sc.Text(), " ")
			if !ok || len(name) < 2 {
				continue
			}
			total++
			name = name[1:]
			said := "FAILED"
			f, done, err := c.open(name)
			if err != nil {
				c.fail(cannotOpen, name, err)
			} else {
				h := newHash()
				if _, rerr, _ := c.copy(h, f); rerr == nil && fmt.Sprintf("%x", h.Sum(nil)) == want {
					said = "OK"
				}
				done()
			}
			if said != "OK" {
				failed++
			}
			if !silent {
				c.printf("%s: %s\n", name, said)
			}
		}
		return 0
	})
	if failed > 0 {
		if !silent {
			c.fail("WARNING: %d of %d computed checksums did NOT match", failed, total)
		}
		return 1
	}
	return status
}

func crc(c *call, files []string) int {
	return c.each(files, "%s: %v", func(name string, r io.Reader) int {
		h := crc32.NewIEEE()
		if _, err, _ := c.copy(h, r); err != nil {
			return c.fail("%s: %v", name, err)
		}
		if name == "-" {
			c.printf("%08x\n", h.Sum32())
		} else {
			c.printf("%08x %s\n", h.Sum32(), name)
		}
		return 0
	})
}

// cksum is POSIX's: a CRC over the data and its length, highest bit first.
func cksum(c *call, files []string) int {
	var table [256]uint32
	for i := range table {
		v := uint32(i) << 24
		for range 8 {
			if v&(1<<31) != 0 {
				v = v<<1 ^ 0x04c11db7
			} else {
				v <<= 1
			}
		}
		table[i] = v
	}
	return c.each(files, "%s: %v", func(name string, r io.Reader) int {
		var v uint32
		var n int64
		buf := make([]byte, copySize)
		for {
			m, err := r.Read(buf)
			for _, b := range buf[:m] {
				v = v<<8 ^ table[byte(v>>24)^b]
			}
			n += int64(m)
			if err == io.EOF {
				break
			}
			if err != nil {
				return c.fail("%s: %v", name, err)
			}
		}
		for l := n; l > 0; l >>= 8 {
			v = v<<8 ^ table[byte(v>>24)^byte(l)]
		}
		line := fmt.Sprintf("%d %d", ^v, n)
		if name != "-" {
			line += " " + name
		}
		c.printf("%s\n", line)
		return 0
	})
}
