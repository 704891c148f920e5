package flasher_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/dutflash/dutflash/flasher"
)

func ExampleParsePart() {
	for _, arg := range []string{"boot:boot.img", "/dev/mmcblk0p3:data.img.zst", "boot.img"} {
		p, err := flasher.ParsePart(arg)
		fmt.Printf("%q %q %q %v\n", p.Target, p.Partition, p.Image, err)
	}
	// Output:
	// "" "boot" "boot.img" <nil>
	// "/dev/mmcblk0p3" "" "data.img.zst" <nil>
	// "" "" "" bad configuration: "boot.img" is not PARTITION:IMAGE
}

// Two partitions of the default target in one boot of the board.
func ExampleFlasher_FlashParts() {
	var f *flasher.Flasher // from flasher.New
	flash := func(ctx context.Context) error {
		res, err := f.FlashParts(ctx, []flasher.Part{
			{Partition: "boot", Image: "boot.img"},
			{Partition: "rootfs", Image: "https://images.example/rootfs.img.xz"},
		})
		if err != nil {
			return err
		}
		for _, part := range res.Parts {
			log.Printf("%s holds %s", part.Device, part.SHA256)
		}
		return nil
	}
	_ = flash
}

// What a board's disk holds, up to its last partition, as a file.
func ExampleFlasher_Dump() {
	var f *flasher.Flasher // from flasher.New
	save := func(ctx context.Context, path string) error {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		res, err := f.Dump(ctx, "", file, flasher.DumpUsed())
		if err != nil {
			return err
		}
		log.Printf("%d bytes of %s, SHA-256 %s", res.Bytes, res.Device, res.SHA256)
		return file.Close()
	}
	_ = save
}
