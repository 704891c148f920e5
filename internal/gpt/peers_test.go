package gpt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dutflash/dutflash/internal/gpt"
	"github.com/dutflash/dutflash/internal/testtool"
)

// sfdiskTable is what sfdisk reads in the file of a disk.
func sfdiskTable(t *testing.T, path string) *gpt.Table {
	t.Helper()
	out, err := exec.Command(testtool.Need(t, "sfdisk", "apt-get install fdisk"), "--json", path).Output()
	if err != nil {
		t.Fatalf("sfdisk --json: %v", err)
	}
	var doc struct {
		Table struct {
			Label, ID  string
			SectorSize int64
			Partitions []struct {
				Node, Type, UUID, Name string
				Start, Size            int64
			}
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	d := doc.Table
	table := &gpt.Table{Kind: d.Label, ID: d.ID, SectorSize: d.SectorSize}
	for _, p := range d.Partitions {
		number, err := strconv.Atoi(strings.TrimPrefix(p.Node, path))
		if err != nil {
			t.Fatal(err)
		}
		if d.Label == "dos" {
			if number > 4 {
				continue // those are found by gpt.Logical
			}
			n, err := strconv.ParseUint(p.Type, 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			p.Type = fmt.Sprintf("0x%02x", n)
		}
		table.Partitions = append(table.Partitions, gpt.Partition{Number: number, Label: p.Name, Type: p.Type, ID: p.UUID,
			Offset: p.Start * d.SectorSize, Size: p.Size * d.SectorSize})
	}
	if d.Label == "dos" {
		table.Kind, table.ID = "mbr", strings.TrimPrefix(d.ID, "0x")
	}
	return table
}

func blank(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func headOf(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, gpt.HeadSize)
	if _, err := io.ReadFull(f, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTablesAsSfdisk has sgdisk and sfdisk make tables at random, and reads
// them as sfdisk does.
func TestTablesAsSfdisk(t *testing.T) {
	sgdisk := testtool.Need(t, "sgdisk", "apt-get install gdisk")
	sfdisk := testtool.Need(t, "sfdisk", "apt-get install fdisk")
	names := []string{"boot", "rootfs_a", "with spaces", "größe", "分区", "", "a name that has thirty-six units!!!!"}
	types := []string{"8300", "ef00", "8200", "0700", "ef02", "8303"}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			path := blank(t, 64<<20)
			start := 2048
			step := func() (first, size int) {
				first, size = start+r.IntN(3000), 1+r.IntN(5000)
				start = first + size
				return first, size
			}
			var cmd *exec.Cmd
			switch seed % 3 {
			case 0:
				args := []string{"-o", "-a", "1"}
				for range 1 + r.IntN(8) {
					n := 1 + r.IntN(128) // sgdisk refuses a number that is taken
					if strings.Contains(strings.Join(args, " "), fmt.Sprintf("-n %d:", n)) {
						continue
					}
					first, size := step()
					args = append(args, "-n", fmt.Sprintf("%d:%d:%d", n, first, first+size-1), "-t", fmt.Sprintf("%d:%s", n, types[r.IntN(len(types))]),
						"-c", fmt.Sprintf("%d:%s", n, names[r.IntN(len(names))]))
				}
				cmd = exec.Command(sgdisk, append(args, path)...)
			case 1:
				script := "label: gpt\n"
				for range 1 + r.IntN(20) {
					first, size := step()
					script += fmt.Sprintf("start=%d, size=%d, name=\"%s\"\n", first, size, names[r.IntN(len(names)-1)])
				}
				cmd = exec.Command(sfdisk, path)
				cmd.Stdin = strings.NewReader(script)
			default:
				script := "label: dos\n"
				for range 1 + r.IntN(4) {
					first, size := step()
					script += fmt.Sprintf("start=%d, size=%d, type=%s\n", first, size, []string{"83", "c", "82", "ef", "da"}[r.IntN(5)])
				}
				cmd = exec.Command(sfdisk, path)
				cmd.Stdin = strings.NewReader(script)
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
			}
			got, err := gpt.Parse(headOf(t, path))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(sfdiskTable(t, path), got); d != "" {
				t.Errorf("sfdisk (-) and we (+):\n%s", d)
			}
		})
	}
}

// TestEveryBitOfTheTableIsChecked flips each bit that the checksums of a GPT
// are about.
func TestEveryBitOfTheTableIsChecked(t *testing.T) {
	path := blank(t, 8<<20)
	if out, err := exec.Command(testtool.Need(t, "sgdisk", "apt-get install gdisk"), "-n", "1:2048:4095", "-n", "2:0:0", path).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	head := headOf(t, path)
	flip := func(at, bit int) {
		head[at] ^= 1 << bit
		defer func() { head[at] ^= 1 << bit }()
		table, err := gpt.Parse(head)
		if at < 520 {
			// Without its signature it is the protective MBR, which is no GPT.
			if err == nil && table != nil && table.Kind == "gpt" {
				t.Errorf("bit %d of byte %d: %+v", bit, at, table)
			}
		} else if !errors.Is(err, gpt.ErrDamaged) {
			t.Errorf("bit %d of byte %d: %v", bit, at, err)
		}
	}
	for at := 512; at < 512+92; at++ {
		for bit := range 8 {
			flip(at, bit)
		}
	}
	for at := 1024; at < 1024+128*128; at += 7 {
		flip(at, at%8)
	}
	if table, err := gpt.Parse(head); err != nil || len(table.Partitions) != 2 {
		t.Errorf("undamaged: %+v, %v", table, err)
	}
}

// TestCutTable cuts the head of a disk at each sector.
func TestCutTable(t *testing.T) {
	path := blank(t, 8<<20)
	if out, err := exec.Command(testtool.Need(t, "sgdisk", "apt-get install gdisk"), "-n", "1:2048:4095", path).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	head := headOf(t, path)
	for n := 0; n <= 34*512; n += 100 {
		table, err := gpt.Parse(head[:n])
		whole := n >= 34*512
		if table != nil && table.Kind == "gpt" && (err == nil) != whole {
			t.Errorf("%d bytes: %+v, %v", n, table, err)
		}
	}
}
