package busybox

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// BlockDevice is a disk or a partition on the board, as its kernel sees it.
type BlockDevice struct {
	Path       string      // device node, such as /dev/mmcblk1
	Name       string      // kernel's name, such as mmcblk1
	Number     string      // major and minor number of its node, "179:8"
	SysPath    string      // where it is in sysfs, which names bus and address
	Model      string      // what the hardware calls itself; may be empty
	Serial     string      // of the hardware (CID of a card, WWID, serial number); may be empty
	Sequence   string      // of a disk since the kernel's start, another for each that is plugged in; "" before Linux 5.15
	Size       int64       // bytes
	SectorSize int         // bytes of a logical block
	ReadOnly   bool        // the kernel refuses writes
	Partition  bool        // it is a partition and not a whole disk
	Label      string      // of a partition: its name in the partition table (GPT)
	Start      int64       // of a partition: first byte on the disk
	Partitions []Partition // of a disk, in the order of their start
	Mounted    []string    // what is mounted from it or its partitions: "/dev/mmcblk1p1 on /boot"
	Users      []string    // what else holds it or its partitions: swap, device mapper, RAID
}

// Partition is a part of a disk.
type Partition struct {
	Name  string // kernel's name, such as mmcblk1p2
	Label string // name in the partition table (GPT); may be empty
	Start int64  // bytes
	Size  int64  // bytes
}

// CheckTarget says why size bytes must not be written to the device: an error
// that wraps [ErrReadOnly], [ErrInUse] or [ErrTooSmall].
func (d BlockDevice) CheckTarget(size int64) error {
	const op = "check target"
	switch {
	case d.ReadOnly:
		return &Error{Op: op, Err: ErrReadOnly, Detail: d.Path + " is write-protected; look at the card's lock switch, or write 0 to /sys/block/" + d.Name + "/force_ro for an eMMC boot partition"}
	case len(d.Mounted) > 0:
		return &Error{Op: op, Err: ErrInUse, Detail: fmt.Sprintf("mounted: %s; unmount it with umount in a preflash command", strings.Join(d.Mounted, ", "))}
	case len(d.Users) > 0:
		return &Error{Op: op, Err: ErrInUse, Detail: fmt.Sprintf("%s is used: %s; release it in a preflash command (swapoff, dmsetup, mdadm)", d.Path, strings.Join(d.Users, ", "))}
	case size > d.Size:
		return &Error{Op: op, Err: ErrTooSmall, Detail: fmt.Sprintf("%s has %d bytes and the image %d; choose another target or make the image smaller", d.Path, d.Size, size)}
	}
	return nil
}

var reBlockName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!_.:-]{0,63}$`)

// BlockDevice finds out about a block device on the board. target is a device
// node ("/dev/mmcblk1", or a link to one), or "/sys/class/block#ADDRESS": the
// disk whose path in sysfs contains ADDRESS, such as a controller's address from
// the device tree. A part of a longer number or word does not fit: "mmc1" is not
// in mmc10, and 4fb0000 not in 14fb0000.mmc. [ErrNoDevice] where there is none,
// with those that there are; several disks that fit are [ErrNoDevice] too, with
// their names, because guessing would overwrite the wrong one.
func (s *Shell) BlockDevice(ctx context.Context, target string) (BlockDevice, error) {
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	const op = "block device"
	name := ""
	switch address, sys := strings.CutPrefix(target, "/sys/class/block#"); {
	case sys && address != "" && typable(address) == "" && !strings.ContainsAny(address, "\n\t '"):
		n, err := s.byAddress(ctx, op, target, address)
		if err != nil {
			return BlockDevice{}, err
		}
		name = n
	case strings.HasPrefix(target, "/dev/") && typable(target) == "" && !strings.ContainsAny(target, "\n\t"):
		out, err := s.exact(ctx, op, `t=$(readlink -f `+quote(target)+`); [ -b "$t" ] || { echo "${t:-?}"; exit 3; }
n=${t#/dev/}; while case $n in */*) ;; *) false;; esac; do n=${n%%/*}!${n#*/}; done
[ -e /sys/class/block/$n ] && echo $n`)
		var ce *CommandError
		if errors.As(err, &ce) {
			return BlockDevice{}, s.noDevice(ctx, op, target)
		}
		if err != nil {
			return BlockDevice{}, err
		}
		name = out
	default:
		return BlockDevice{}, &Error{Op: op, Err: ErrConfig, Detail: fmt.Sprintf("target %q is neither /dev/... nor /sys/class/block#ADDRESS", target)}
	}
	return s.describe(ctx, op, name)
}

// byAddress returns the one disk whose sysfs path contains address.
func (s *Shell) byAddress(ctx context.Context, op, target, address string) (string, error) {
	out, err := s.exact(ctx, op, `for d in /sys/class/block/*; do [ -e $d/partition ] || echo "${d##*/} $(readlink -f $d)"; done; :`)
	if err != nil {
		return "", err
	}
	paths := map[string]string{}
	var fit []string
	for line := range strings.SplitSeq(out, "\n") {
		name, path, ok := strings.Cut(line, " ")
		if ok && containsWord(path, address) {
			paths[name] = path
			fit = append(fit, name)
		}
	}
	// An eMMC's boot partitions (mmcblk0boot0) lie beneath the disk itself.
	disks := slices.DeleteFunc(slices.Clone(fit), func(n string) bool {
		for _, other := range fit {
			if other != n && strings.HasPrefix(paths[n], paths[other]+"/") {
				return true
			}
		}
		return false
	})
	switch len(disks) {
	case 0:
		return "", s.noDevice(ctx, op, target)
	case 1:
		return disks[0], nil
	}
	return "", &Error{Op: op, Err: ErrNoDevice,
		Detail: fmt.Sprintf("%s fits %d disks: %s; use more of the address", target, len(disks), strings.Join(disks, ", "))}
}

// containsWord says whether address stands in path and neither begins nor ends in
// the middle of a number or word.
func containsWord(path, address string) bool {
	inWord := func(s string, i int) bool { // i lies between two letters or digits
		return i > 0 && i < len(s) && alphanumeric(s[i-1]) && alphanumeric(s[i])
	}
	for from := 0; ; {
		i := strings.Index(path[from:], address)
		if i < 0 {
			return false
		}
		at := from + i
		if !inWord(path, at) && !inWord(path, at+len(address)) {
			return true
		}
		from = at + 1
	}
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// noDevice is the error for a target that is missing, with those that exist.
func (s *Shell) noDevice(ctx context.Context, op, target string) error {
	have := "none at all"
	out, err := s.exact(ctx, op, `for d in /sys/class/block/*; do [ -e $d/size ] && [ $(cat $d/size) != 0 ] && echo "/dev/${d##*/} ($(cat $d/size) sectors)"; done; :`)
	if err == nil && out != "" {
		have = strings.ReplaceAll(out, "\n", ", ")
	}
	return &Error{Op: op, Err: ErrNoDevice, Detail: fmt.Sprintf("%s; the board has %s", target, have)}
}

// describe reads everything about one device, in lines of "key value".
const describeScript = `d=/sys/class/block/$n
r() { [ -e $2 ] && echo "$1 $(cat $2 2>/dev/null)"; }
echo "sys $(readlink -f $d)"
r size $d/size; r ro $d/ro; r dev $d/dev; r start $d/start; r partition $d/partition
p=$d; [ -e $d/partition ] && { p=$(readlink -f $d); p=${p%/*}; }
r ssize $p/queue/logical_block_size; r model $p/device/model; r model $p/device/name; r seq $p/diskseq
for f in device/cid wwid device/wwid serial device/serial; do r serial $p/$f; done
for h in $d/holders/*; do [ -e $h ] && echo "holder $n ${h##*/}"; done
while read -r l; do case $l in PARTNAME=*) echo "label ${l#*=}";; esac; done <$d/uevent
for q in $d/*/partition; do [ -e $q ] || continue; q=${q%/*}; l=
	while read -r e; do case $e in PARTNAME=*) l=${e#*=};; esac; done <$q/uevent
	echo "part ${q##*/} $(cat $q/dev) $(cat $q/start) $(cat $q/size) $l"
	for h in $q/holders/*; do [ -e $h ] && echo "holder ${q##*/} ${h##*/}"; done
done
t=/dev/$n; [ -b $t ] || t=/dev/$(echo $n | tr '!' /); [ -b $t ] && echo "node $t"
while read -r a b c d e f; do echo "mount $c $e"; done </proc/self/mountinfo
while read -r a b; do case $a in /*) echo "source $a ${b%% *}";; esac; done </proc/mounts
while read -r a b; do case $a in /*) echo "swap $a";; esac; done </proc/swaps
:`

func (s *Shell) describe(ctx context.Context, op, name string) (BlockDevice, error) {
	if !reBlockName.MatchString(name) {
		return BlockDevice{}, s.fail(op, "", ErrNoDevice, "%q is not the name of a block device", name)
	}
	out, err := s.exact(ctx, op, "n="+quote(name)+"\n"+describeScript)
	if err != nil {
		return BlockDevice{}, err
	}
	d, err := parseBlockDevice(name, out)
	if err != nil {
		return BlockDevice{}, s.fail(op, "", err, "%s", name)
	}
	return d, nil
}

// parseBlockDevice understands what describeScript prints.
func parseBlockDevice(name, out string) (BlockDevice, error) {
	d := BlockDevice{Name: name, SectorSize: 512}
	numbers := map[string]string{} // device number to name, of the device and its partitions
	names := map[string]string{"/dev/" + name: name}
	sized := false
	var mounts, sources, swaps [][]string
	for line := range strings.SplitSeq(out, "\n") {
		key, v, _ := strings.Cut(line, " ")
		v = strings.TrimSpace(v)
		f := strings.Fields(v)
		switch key {
		case "sys":
			d.SysPath = v
		case "size", "start":
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 || n > 1<<53 {
				return d, fmt.Errorf("%w: %s is %q", ErrNoDevice, key, v)
			}
			if key == "size" {
				d.Size, sized = n*512, true // sysfs counts in 512 bytes whatever the sector
			} else {
				d.Start = n * 512
			}
		case "ro":
			d.ReadOnly = v != "0"
		case "dev":
			d.Number, numbers[v] = v, name
		case "partition":
			d.Partition = true
		case "ssize":
			if n, err := strconv.Atoi(v); err == nil && n > 0 {
				d.SectorSize = n
			}
		case "model":
			d.Model = v
		case "serial":
			if d.Serial == "" {
				d.Serial = v
			}
		case "seq":
			d.Sequence = v
		case "label":
			d.Label = v
		case "node":
			d.Path = v
		case "holder":
			if len(f) == 2 {
				d.Users = append(d.Users, f[0]+" by "+f[1])
			}
		case "part":
			p := strings.SplitN(v, " ", 5)
			if len(p) < 4 {
				return d, fmt.Errorf("%w: partition %q", ErrNoDevice, v)
			}
			start, err1 := strconv.ParseInt(p[2], 10, 64)
			size, err2 := strconv.ParseInt(p[3], 10, 64)
			if err1 != nil || err2 != nil || start < 0 || size < 0 || start > 1<<53 || size > 1<<53 {
				return d, fmt.Errorf("%w: partition %q", ErrNoDevice, v)
			}
			part := Partition{Name: p[0], Start: start * 512, Size: size * 512}
			if len(p) == 5 {
				part.Label = p[4]
			}
			d.Partitions = append(d.Partitions, part)
			numbers[p[1]] = p[0]
			names["/dev/"+p[0]] = p[0]
		case "mount":
			mounts = append(mounts, f)
		case "source":
			sources = append(sources, f)
		case "swap":
			swaps = append(swaps, f)
		}
	}
	if !sized {
		return d, fmt.Errorf("%w: it has no size", ErrNoDevice)
	}
	if d.Path == "" {
		return d, fmt.Errorf("%w: there is no device node for it in /dev; mount devtmpfs or run mdev -s", ErrNoDevice)
	}
	slices.SortFunc(d.Partitions, func(a, b Partition) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	seen := map[string]bool{}
	mounted := func(name, on string) {
		if text := "/dev/" + name + " on " + on; !seen[text] {
			seen[text] = true
			d.Mounted = append(d.Mounted, text)
		}
	}
	for _, f := range mounts {
		if len(f) == 2 && numbers[f[0]] != "" {
			mounted(numbers[f[0]], f[1])
		}
	}
	// btrfs and the like mount under a number that is no device's.
	for _, f := range sources {
		if len(f) == 2 && names[f[0]] != "" {
			mounted(names[f[0]], f[1])
		}
	}
	for _, f := range swaps {
		if len(f) == 1 && names[f[0]] != "" {
			d.Users = append(d.Users, names[f[0]]+" as swap")
		}
	}
	return d, nil
}

// PartitionByLabel returns the partition of disk that has the given name in its
// partition table (GPT). Partitions of other disks do not count, so a label
// that exists twice on the board is no coin toss. [ErrNoDevice] where disk has
// none or several, with the labels that it has.
func (s *Shell) PartitionByLabel(ctx context.Context, disk BlockDevice, label string) (BlockDevice, error) {
	const op = "partition"
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	now, err := s.describe(ctx, op, disk.Name) // a preflash command may have changed the table
	if err != nil {
		return BlockDevice{}, err
	}
	var fit, have []string
	for _, p := range now.Partitions {
		if p.Label != "" {
			have = append(have, p.Label)
		}
		if p.Label == label && label != "" {
			fit = append(fit, p.Name)
		}
	}
	switch {
	case len(fit) == 1:
		return s.describe(ctx, op, fit[0])
	case len(fit) > 1:
		return BlockDevice{}, &Error{Op: op, Err: ErrNoDevice, Detail: fmt.Sprintf("label %q fits several partitions of %s: %s", label, now.Path, strings.Join(fit, ", "))}
	case len(have) == 0:
		return BlockDevice{}, &Error{Op: op, Err: ErrNoDevice, Detail: fmt.Sprintf("no partition of %s has a label; only GPT partition tables have them", now.Path)}
	}
	return BlockDevice{}, &Error{Op: op, Err: ErrNoDevice, Detail: fmt.Sprintf("no partition of %s is labelled %q; there are %s", now.Path, label, strings.Join(have, ", "))}
}
