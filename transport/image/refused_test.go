package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

// TestTheCommandInARefusalWorks makes files of formats that are refused with
// the tools that people use, runs the command that the error gives, and flashes
// what comes out.
func TestTheCommandInARefusalWorks(t *testing.T) {
	const qemu, getQemu = "qemu-img", "apt-get install qemu-utils"
	iso := make([]byte, mib)
	copy(iso[32768:], "\x01CD001\x01")
	raw := append(bytes.Clone(iso), rawImage(mib)...)
	for _, tc := range []struct {
		name, file, tool, how string
		args                  []string // OUT is to be made from disk.iso
	}{
		{"qcow2", "IN.qcow2", qemu, getQemu, []string{"convert", "-f", "raw", "-O", "qcow2", "disk.iso", "OUT"}},
		{"compressed qcow2", "IN.qcow2", qemu, getQemu, []string{"convert", "-c", "-f", "raw", "-O", "qcow2", "disk.iso", "OUT"}},
		{"vmdk", "IN.vmdk", qemu, getQemu, []string{"convert", "-f", "raw", "-O", "vmdk", "disk.iso", "OUT"}},
		{"flat vmdk", "IN.vmdk", qemu, getQemu, []string{"convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", "disk.iso", "OUT"}},
		{"vdi", "IN.vdi", qemu, getQemu, []string{"convert", "-f", "raw", "-O", "vdi", "disk.iso", "OUT"}},
		{"vhd", "IN.vhd", qemu, getQemu, []string{"convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", "disk.iso", "OUT"}},
		{"vhdx", "IN.vhdx", qemu, getQemu, []string{"convert", "-f", "raw", "-O", "vhdx", "disk.iso", "OUT"}},
		{"ISO in zip", "IN.zip", "zip", "apt-get install zip unzip", []string{"-q", "OUT", "disk.iso"}},
		{"zip of a stored file", "IN.zip", "zip", "apt-get install zip unzip", []string{"-q0", "OUT", "disk.iso"}},
		{"tar", "IN.tar", "tar", "apt-get install tar", []string{"-cf", "OUT", "disk.iso"}},
		{"POSIX tar", "IN.tar", "tar", "apt-get install tar", []string{"--format=ustar", "-cf", "OUT", "disk.iso"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "disk.iso"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(name string, args ...string) {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), name, args...)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s %v: %v\n%s", name, args, err, out)
				}
			}
			for i := range tc.args {
				tc.args[i] = strings.ReplaceAll(tc.args[i], "OUT", tc.file)
			}
			run(testtool.Need(t, tc.tool, tc.how), tc.args...)
			refused, err := os.ReadFile(filepath.Join(dir, tc.file))
			if err != nil {
				t.Fatal(err)
			}
			var text string
			for _, b := range [][]byte{refused, pack(t, packers[2], refused), pack(t, packers[0], refused)} {
				_, _, err = readAll(b)
				if !errors.Is(err, image.ErrUnsupportedFormat) {
					t.Fatalf("got %v", err)
				}
				text = err.Error()
			}
			_, command, ok := strings.Cut(text, "with: ")
			if !ok {
				t.Fatalf("no command in %s", text)
			}
			os.Rename(filepath.Join(dir, "disk.iso"), filepath.Join(dir, "before"))
			if strings.HasPrefix(command, "unzip") {
				testtool.Need(t, "unzip", "apt-get install unzip")
			}
			run("sh", "-c", command)
			out := "OUT.raw"
			if m := regexp.MustCompile(`> (\S+)$`).FindStringSubmatch(command); m != nil {
				out = m[1]
			}
			b, err := os.ReadFile(filepath.Join(dir, out))
			if err != nil {
				t.Fatal(err)
			}
			// Some disk formats round the size up.
			if got, _, err := readAll(b); err != nil || len(got) < len(raw) || !bytes.Equal(got[:len(raw)], raw) {
				t.Errorf("%s made %d bytes: %v", command, len(got), err)
			}
		})
	}
}

func TestReaderRefusesWhatIsNoDiskImage(t *testing.T) {
	for _, tc := range []struct{ name, data, want string }{
		{"empty zip", "PK\x05\x06" + strings.Repeat("\x00", 18), "unzip IN.zip"},
		{"short zip", "PK\x03\x04", "unzip IN.zip"},
		{"zip of a name for no shell", "PK\x03\x04" + strings.Repeat("\x00", 22) + "\x05\x00\x00\x00a;b.c", "unzip IN.zip"},
		{"zip of a folder", "PK\x03\x04" + strings.Repeat("\x00", 22) + "\x04\x00\x00\x00abc/", "unzip IN.zip"},
		{"short tar", strings.Repeat("x", 257) + "ustar", "tar -xf IN.tar"},
		{"7z", "7z\xbc\xaf\x27\x1c" + strings.Repeat("x", 600), "7z x"},
		{"rar", "Rar!\x1a\x07" + strings.Repeat("x", 600), "unrar x"},
		{"lzip", "LZIP" + strings.Repeat("x", 600), "lzip -dc"},
		{"lzop", "\x89LZO\x00\r\n\x1a\n" + strings.Repeat("x", 600), "lzop -dc"},
		{"html", "\n <!DOCTYPE html><html><title>Log in</title>", "login"},
		{"html in capitals", "<HTML><BODY>Sign in", "login"},
		{"html after a byte order mark", "\xef\xbb\xbf<html>", "login"},
		{"xhtml", `<?xml version="1.0"?><!DOCTYPE html><html>`, "login"},
		{"html after a comment", "<!-- page -->\n<html>", "login"},
		{"xml error", `<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`, "XML"},
		{"json error", "{\"errors\": [{\"status\": 404}]}\n", "JSON"},
		{"lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, data := range []string{tc.data, string(pack(t, packers[2], []byte(tc.data)))} {
				_, _, err := readAll([]byte(data))
				if !errors.Is(err, image.ErrUnsupportedFormat) || !strings.Contains(fmt.Sprint(err), tc.want) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	if _, _, err := readAll(nil); !errors.Is(err, image.ErrEmpty) {
		t.Errorf("nothing: %v", err)
	}
	if _, _, err := readAll(pack(t, packers[2], nil)); !errors.Is(err, image.ErrEmpty) {
		t.Errorf("nothing in gzip: %v", err)
	}
}

// FuzzDetect is about what looks into headers before any decoder does.
func FuzzDetect(f *testing.F) {
	for _, s := range []string{"PK\x03\x04", "PK\x03\x04" + strings.Repeat("\xff", 40), strings.Repeat("x", 257) + "ustar", "\x50\x2a\x4d\x18\xff\xff\xff\xff",
		"\x51\x2a\x4d\x18\x00\x00\x00\x00\x52\x2a\x4d\x18\x00\x00\x00\x00\x02\x21\x4c\x18", "<!--", "{}", "BZh9"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := image.NewReader(bytes.NewReader(b), image.DecodeMemoryLimit(1<<20))
		if err != nil {
			return
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		if f := r.Formats(); err == nil && n < 1<<20 && len(f) == 1 && n != int64(len(b)) {
			t.Errorf("%v: %d bytes of %d", f, n, len(b))
		}
	})
}
