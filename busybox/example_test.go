package busybox_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/transport/console"
)

// A session on a terminal server's port, from the boot to a block device.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	port, err := net.Dial("tcp", "terminal-server:2001")
	if err != nil {
		log.Fatal(err)
	}
	c, err := console.New(port)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := busybox.New(c, busybox.WithLogin(busybox.Login{Username: "root"}))
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Login(ctx); err != nil {
		log.Fatal(err)
	}
	out, err := s.Run(ctx, "dd if=/dev/zero of=/dev/mmcblk0 bs=512 count=34")
	var failed *busybox.CommandError
	if errors.As(err, &failed) {
		log.Fatalf("status %d: %s", failed.Status, failed.Output)
	}
	fmt.Print(out)
	disk, err := s.BlockDevice(ctx, "/sys/class/block#4f80000.mmc")
	if err != nil {
		log.Fatal(err)
	}
	if err := disk.CheckTarget(4 << 30); err != nil {
		log.Fatal(err)
	}
}

// What must not be overwritten is told apart by sentinels.
func ExampleBlockDevice_CheckTarget() {
	disk := busybox.BlockDevice{Path: "/dev/mmcblk1", Name: "mmcblk1", Size: 8 << 30,
		Mounted: []string{"/dev/mmcblk1p1 on /boot"}}
	err := disk.CheckTarget(4 << 30)
	fmt.Println(err)
	fmt.Println(errors.Is(err, busybox.ErrInUse))
	// Output:
	// busybox: check target: in use on the board: mounted: /dev/mmcblk1p1 on /boot; unmount it with umount in a preflash command
	// true
}
