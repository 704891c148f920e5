package flasher

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/gpt"
)

// diskPartition is a partition in which the table on the disk and the board's
// kernel agree.
type diskPartition struct {
	number      int
	label       string
	id          string // PARTUUID
	name        string // kernel's name
	start, size int64
}

func (p diskPartition) String() string {
	s := fmt.Sprintf("%d %s", p.number, p.name)
	if p.label != "" {
		s += fmt.Sprintf(" %q", p.label)
	}
	return fmt.Sprintf("%s (%d bytes)", s, p.size)
}

// partitions joins the table that was read from the disk with what the kernel
// knows of the disk. Both must say the same of each partition: what they disagree
// about is returned as stale. The logical partitions of an MBR lie in a chain all
// over the disk; of them the kernel's view is taken.
func partitions(disk busybox.BlockDevice, table *gpt.Table) (known []diskPartition, stale []string) {
	kernel := map[int]busybox.Partition{}
	for _, k := range disk.Partitions {
		kernel[partitionNumber(disk.Name, k.Name)] = k
	}
	delete(kernel, 0)
	for _, p := range table.Partitions {
		k, ok := kernel[p.Number]
		delete(kernel, p.Number)
		switch {
		case table.Kind == "mbr" && p.Extended(): // holds others, and is none itself
		case !ok || k.Start != p.Offset || k.Size != p.Size:
			stale = append(stale, fmt.Sprintf("%d %q at byte %d, %d bytes", p.Number, p.Label, p.Offset, p.Size))
		default:
			known = append(known, diskPartition{
				number: p.Number, label: p.Label, id: p.ID, name: k.Name, start: p.Offset, size: p.Size,
			})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(kernel)) {
		k := kernel[n]
		if table.Kind == "mbr" && n > 4 {
			known = append(known, diskPartition{number: n, name: k.Name, start: k.Start, size: k.Size})
		} else {
			stale = append(stale, k.Name+", which only the kernel knows")
		}
	}
	return known, stale
}

// partitionNumber returns the number in a partition's name: 2 for mmcblk0p2 and
// for vda2; 0 where the name is not one of disk's.
func partitionNumber(disk, name string) int {
	rest, ok := strings.CutPrefix(name, disk)
	if !ok {
		return 0
	}
	// The p stands only behind a disk whose name ends in a digit.
	if disk != "" && disk[len(disk)-1] >= '0' && disk[len(disk)-1] <= '9' {
		if rest, ok = strings.CutPrefix(rest, "p"); !ok {
			return 0
		}
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 0 || strconv.Itoa(n) != rest {
		return 0
	}
	return n
}

// The spellings of a partition that say what they mean, as in fstab.
const (
	byLabel  = "PARTLABEL="
	byUUID   = "PARTUUID="
	labelDir = "/dev/disk/by-partlabel/"
	uuidDir  = "/dev/disk/by-partuuid/"
)

// names says whether want is a spelling of p.
func (p diskPartition) names(want string) bool {
	for _, prefix := range []string{byLabel, labelDir} {
		if label, ok := strings.CutPrefix(want, prefix); ok {
			return p.label == label
		}
	}
	for _, prefix := range []string{byUUID, uuidDir} {
		if id, ok := strings.CutPrefix(want, prefix); ok {
			return p.id != "" && strings.EqualFold(p.id, id)
		}
	}
	number := strconv.Itoa(p.number)
	switch want {
	case p.label, number, "p" + number, p.name, "/dev/" + p.name:
		return true
	}
	return false
}

// findPartition returns the one partition of the disk that want names. Errors
// wrap [ErrPartitionNotFound], [ErrPartitionAmbiguous] or [ErrPartitionTable] and
// list what there is.
func findPartition(disk busybox.BlockDevice, table *gpt.Table, want string) (diskPartition, error) {
	if want == "" || want == byLabel || want == labelDir {
		return diskPartition{}, fmt.Errorf("%w: the label is empty", ErrPartitionNotFound)
	}
	known, stale := partitions(disk, table)
	var fit []diskPartition
	for _, p := range known {
		if p.names(want) {
			fit = append(fit, p)
		}
	}
	switch {
	case len(stale) > 0:
		return diskPartition{}, fmt.Errorf("%w: the board's kernel does not see partitions of %s as its table has them: %s (is one of them in use?)",
			ErrPartitionTable, disk.Path, strings.Join(stale, ", "))
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) > 1:
		return diskPartition{}, fmt.Errorf("%w: %q names %d partitions of %s: %s; say the number, PARTLABEL=LABEL or PARTUUID=ID",
			ErrPartitionAmbiguous, want, len(fit), disk.Path, list(fit))
	}
	note := ""
	if table.Kind != "gpt" {
		note = "; its table is an MBR, which has no labels"
	}
	return diskPartition{}, fmt.Errorf("%w: %q on %s, which has %s%s", ErrPartitionNotFound, want, disk.Path, list(known), note)
}

func list(ps []diskPartition) string {
	if len(ps) == 0 {
		return "none"
	}
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}
