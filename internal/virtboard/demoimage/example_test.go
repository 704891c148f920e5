package demoimage_test

import (
	"context"
	"fmt"
	"log"

	"github.com/dutflash/dutflash/internal/virtboard/demoimage"
)

func Example() {
	image, err := demoimage.Make(context.Background(), "/tmp", demoimage.Options{SizeMiB: 512})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(image.XZ, image.SHA256)
}
