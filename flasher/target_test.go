package flasher

import (
	"testing"

	"github.com/dutflash/dutflash/bundle"
)

// TestTargetPath: a partition that is a target's name is that target, as with
// Jumpstarter's --partition, unless a target is named.
func TestTargetPath(t *testing.T) {
	o := &operation{manifest: &bundle.Manifest{Spec: bundle.Spec{
		DefaultTarget: "usd", Targets: map[string]string{"usd": "/sys/class/block#4fb0000", "emmc": "/dev/mmcblk0"},
	}}}
	for _, tc := range []struct {
		target, partition, byDefault string
		path, left, shown            string
		fails                        bool
	}{
		{path: "/sys/class/block#4fb0000", shown: "usd"},
		{byDefault: "emmc", path: "/dev/mmcblk0", shown: "emmc"},
		{target: "emmc", byDefault: "usd", path: "/dev/mmcblk0", shown: "emmc"},
		{partition: "emmc", path: "/dev/mmcblk0", shown: "emmc"},
		{partition: "boot", path: "/sys/class/block#4fb0000", left: "boot", shown: "usd"},
		{partition: "boot", byDefault: "emmc", path: "/dev/mmcblk0", left: "boot", shown: "emmc"},
		{target: "usd", partition: "emmc", path: "/sys/class/block#4fb0000", left: "emmc", shown: "usd"},
		{target: "/dev/sda", partition: "2", path: "/dev/sda", left: "2", shown: "/dev/sda"},
		{target: "nvme", fails: true},
	} {
		p := &part{Part: Part{Target: tc.target, Partition: tc.partition}, defaultTarget: tc.byDefault, res: &Result{}}
		err := o.targetPath(p)
		if tc.fails {
			if err == nil {
				t.Errorf("%+v: not refused", tc)
			}
			continue
		}
		if err != nil || p.path != tc.path || p.Partition != tc.left || p.res.Partition != tc.left || p.res.Target != tc.shown {
			t.Errorf("%+v: path %q, partition %q, result %q %q, %v", tc, p.path, p.Partition, p.res.Target, p.res.Partition, err)
		}
	}
}
