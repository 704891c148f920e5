package flasher_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// dut is a board of the table: the real one in QEMU or the simulated one.
type dut struct {
	name string
	disk string // its device
	make func(*testing.T, ...flasher.Option) *flasher.Flasher
	// content returns the digest of the first n bytes of the disk.
	content func(*testing.T, int) string
}

// duts returns a real and a simulated board with a blank disk of a size.
func duts(t *testing.T, size int64) []dut {
	t.Helper()
	bundle := bundleDir(t, virtboard.ARM64, debian.Bundle{})
	r := newRig(t, virtboard.ARM64, size)
	b := newSimulated(t, flashertest.WithDisk(size, nil))
	return []dut{
		{"QEMU", "/dev/vda", func(t *testing.T, opts ...flasher.Option) *flasher.Flasher { return r.flasher(t, bundle, opts...) },
			func(t *testing.T, n int) string {
				disk, err := os.ReadFile(r.disk)
				if err != nil {
					t.Fatal(err)
				}
				return sha256Hex(disk[:n])
			}},
		{"simulated", "/dev/mmcblk0", b.flasher, b.content},
	}
}

// TestFlashSameOnEveryBoard: one table of flashes, one after the other on one disk;
// a simulated board that ends in another way than the real one is wrong.
func TestFlashSameOnEveryBoard(t *testing.T) {
	t.Parallel()
	const size = 32 * mib
	raw := testImage(20*mib + 4321)
	other := bytes.Clone(raw)
	for i := 13 * mib; i < 14*mib; i++ {
		other[i] ^= 0x55
	}
	first, second := imageFile(t, "first.raw", raw), imageFile(t, "second.raw", other)
	large := imageFile(t, "large.raw", testImage(size+512))
	table := []struct {
		name  string
		image string
		opts  []flasher.Option
		flash []flasher.FlashOption
	}{
		{"target that is not there", first, nil, []flasher.FlashOption{flasher.WithTarget("/dev/nosuch")}},
		{"image too large", large, nil, nil},
		{"blank disk", first, nil, nil},
		{"same image", first, nil, nil},
		{"one MiB differs", second, nil, nil},
		{"stream", first, []flasher.Option{flasher.WithMethod(flasher.MethodStream)}, nil},
		{"no verification", second, []flasher.Option{flasher.WithVerify(flasher.VerifyNone)}, nil},
	}
	results := map[string][]string{}
	for _, d := range duts(t, size) {
		for _, tc := range table {
			t.Run(d.name+"/"+tc.name, func(t *testing.T) {
				res, err := d.make(t, append(tc.opts, flasher.WithRetries(0))...).Flash(t.Context(), tc.image, tc.flash...)
				how := "success"
				var fe *flasher.Error
				if errors.As(err, &fe) {
					t.Log(err)
					how = fmt.Sprintf("step %s, too large %v, no device %v", fe.Step, errors.Is(err, flasher.ErrImageTooLarge), errors.Is(err, busybox.ErrNoDevice))
				} else if err != nil {
					t.Fatal(err)
				}
				results[d.name] = append(results[d.name], fmt.Sprintf("%s: %s, method %s, %d bytes of image, %d written, %d of them zeros, %d unchanged, %d proved, disk %s",
					tc.name, how, res.Method, res.ImageBytes, res.WrittenBytes, res.ZeroedBytes, res.UnchangedBytes, res.ProvedBytes, d.content(t, len(raw))))
			})
		}
	}
	compareBoards(t, results)
}

func compareBoards(t *testing.T, results map[string][]string) {
	t.Helper()
	if len(results["QEMU"]) != len(results["simulated"]) {
		t.Fatalf("%d results from QEMU, %d from the simulation", len(results["QEMU"]), len(results["simulated"]))
	}
	for i, want := range results["QEMU"] {
		if got := results["simulated"][i]; got != want {
			t.Errorf("simulated: %s\nQEMU:      %s", got, want)
		}
	}
}

// TestShellSameOnEveryBoard runs the same scripts in the shell of both.
func TestShellSameOnEveryBoard(t *testing.T) {
	t.Parallel()
	scripts := []string{
		"true", "false", "exit_with() { return 7; }; exit_with", "nosuch", "echo a  b", "echo 'a  b'; echo c >&2", "printf 'no newline'", ":",
		"printf 'a\\001b\\n'", "x=1; echo $((x + 41))", "for i in 1 2 3; do echo $i; done", "echo one | tr a-z A-Z", "(set -o pipefail; false | true)", "false | true",
		"cat <<E\n$((6*7))\nE\n", "sleep 0 & wait $!", "(exit 3) & wait $!", "trap 'echo bye' EXIT; echo hi", "echo abc | sha256sum", "echo abc | md5sum",
		"printf abc | base64", "printf abc | wc -c", "seq 5 >/tmp/s; head -n 2 /tmp/s", "seq 5 | tail -n 2", "seq 12 | grep 1", "echo key=value | sed 's/.*=//'", "echo a:b:c | cut -d: -f2",
		"dd if=DISK of=/tmp/x bs=4096 count=2 2>/dev/null; wc -c </tmp/x", "dd if=/dev/zero bs=1000 count=3 2>/dev/null | wc -c",
		"echo data >/tmp/f; cat /tmp/f; rm /tmp/f; cat /tmp/f 2>&1", "[ -b DISK ]; echo $?", "[ -e /dev/nosuch ]; echo $?", "cat /sys/class/block/NAME/size",
		"command -v dd >/dev/null; echo $?", "command -v nosuch; echo $?", "dd if=/dev/nosuch of=/dev/null 2>&1", "dd if=/dev/zero of=DISK bs=1M seek=1000 count=1 2>/dev/null; echo $?",
		"mkdir /tmp/d; cd /tmp/d; pwd; cd /; rmdir /tmp/d", "echo $0 $#", "type cd", "test 1 -lt 2 && echo less", "case abc in a*) echo matched;; esac",
		"f() { local v=1; echo $v; }; f; echo ${v:-unset}", "read -r a b <<E\n1 2 3\nE\necho $b", "unset u; echo ${u-default} ${u:+no}", "v=abcdef; echo ${v#abc} ${v%def} ${#v}",
		"kill -0 $$; echo $?", "mktemp -d >/dev/null; echo $?", "stat -c %s /tmp/nosuch 2>/dev/null; echo $?", "od -An -tx1 <<E\nabc\nE\n", "echo 'b\na' | sort", "expr 3 + 4", "uname -s",
	}
	results := map[string][]string{}
	for _, d := range duts(t, 16*mib) {
		t.Run(d.name, func(t *testing.T) {
			sh, err := d.make(t).BusyboxShell(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer sh.Close()
			for _, script := range scripts {
				cmd := strings.NewReplacer("DISK", d.disk, "NAME", filepath.Base(d.disk)).Replace(script)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				out, err := sh.Run(ctx, cmd)
				cancel()
				status := 0
				var failed *busybox.CommandError
				if errors.As(err, &failed) {
					status, err = failed.Status, nil
				}
				if err != nil {
					t.Fatalf("%s: %v", cmd, err)
				}
				out = strings.NewReplacer(d.disk, "DISK").Replace(out)
				results[d.name] = append(results[d.name], fmt.Sprintf("%s\n%q\nstatus %d", script, out, status))
			}
		})
	}
	compareBoards(t, results)
}
