package uboot_test

import (
	"errors"
	"testing"

	"github.com/dutflash/dutflash/uboot"
)

func TestBootFailure(t *testing.T) {
	for _, tc := range []struct {
		output string
		is     error // nil: no failure
	}{
		{"", nil},
		{"## Flattened Device Tree blob at 40000000\r\n   Booting using the fdt blob at 0x40000000\r\n", nil},
		{"Starting kernel ...\r\n\r\n[    0.000000] Booting Linux on physical CPU 0x0\r\n", nil},
		{"U-Boot 2023.01 (Jan 01 2023)\r\n", nil}, // what the version command prints, too
		{"the text DRAM: 512 MiB in a line\r\n", nil},
		{"altbootcmd=echo resetting ...; reset\r\n", nil},
		{"Bad Linux ARM64 Image magic!\r\n=> ", uboot.ErrBadImage},
		{"Bad Linux ARM Image magic!\r\n", uboot.ErrBadImage},
		{"zimage: Bad magic!\r\n", uboot.ErrBadImage},
		{"Bad Linux RISCV Image magic!\r\n", uboot.ErrBadImage},
		{"Wrong Image Format for bootm command\r\nERROR: can't get kernel image!\r\n", uboot.ErrBadImage},
		{"Wrong Ramdisk Image Format\r\nRamdisk image is corrupt or invalid\r\n", uboot.ErrBadImage},
		{"ERROR: Did not find a cmdline Flattened Device Tree\r\nCould not find a valid device tree\r\n", uboot.ErrBadImage},
		{"ERROR: image is not a fdt - must RESET the board to recover.\r\n", uboot.ErrBadImage},
		{"   Verifying Hash Integrity ... sha256 error!\r\nBad hash value for 'hash-1' hash node in 'kernel' image node\r\nBad Data Hash\r\n", uboot.ErrBadImage},
		{"Could not find configuration node\r\n", uboot.ErrBadImage},
		{"\"Synchronous Abort\" handler, esr 0x96000010\r\n", uboot.ErrCrash},
		{"### ERROR ### Please RESET the board ###\r\n", uboot.ErrCrash},
		{"data abort\r\npc : [<5ff7a4b8>]\r\n", uboot.ErrCrash},
		{"undefined instruction\r\n", uboot.ErrCrash},
		{"prefetch abort\r\n", uboot.ErrCrash},
		{"Resetting CPU ...\r\n", uboot.ErrReset},
		{"resetting ...\r\n", uboot.ErrReset},
		{"\r\nU-Boot SPL 2022.04 (Apr 04 2022)\r\n", uboot.ErrReset},
		{"U-Boot 2023.01 (Jan 01 2023)\r\n\r\nDRAM:  512 MiB\r\n", uboot.ErrReset},
		{"[    0.123456] DRAM:  512 MiB\r\n", uboot.ErrReset},
	} {
		t.Run(tc.output, func(t *testing.T) {
			err := uboot.BootFailure(tc.output)
			if !errors.Is(err, tc.is) || (err == nil) != (tc.is == nil) {
				t.Errorf("got %v, want %v", err, tc.is)
			}
		})
	}
}
