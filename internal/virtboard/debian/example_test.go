package debian_test

import (
	"fmt"

	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

func ExampleBootCommand() {
	at := debian.LoadAddresses(virtboard.ARM64)
	fmt.Println(debian.BootCommand(virtboard.ARM64, at.DTB))
	fmt.Println(debian.BootCommand(virtboard.ARM, "${fdtcontroladdr}"))
	// Output:
	// setenv bootargs console=ttyAMA0; booti 0x40400000 0x44000000 0x43000000
	// setenv bootargs console=ttyAMA0; bootz 0x42000000 0x46000000 ${fdtcontroladdr}
}
