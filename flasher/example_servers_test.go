package flasher_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/transport/image"
)

// Two boards on one network, flashed at once from an image that is decompressed
// once, through one port 69.
func ExampleNewServers() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "disk.img")
	if err := os.WriteFile(path, []byte("what is to be on the disk"), 0o600); err != nil {
		log.Fatal(err)
	}
	src, err := image.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	img, err := image.Prepare(ctx, src, image.WithCacheDir(dir))
	if err != nil {
		log.Fatal(err)
	}
	defer img.Close()
	servers, err := flasher.NewServers(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer servers.Close()

	one, err := flashertest.NewBoard()
	if err != nil {
		log.Fatal(err)
	}
	defer one.Close()
	two, err := flashertest.NewBoard(flashertest.WithNetworkOf(one))
	if err != nil {
		log.Fatal(err)
	}
	defer two.Close()
	bundle := filepath.Join(dir, "bundle")
	if err := one.WriteBundle(bundle); err != nil {
		log.Fatal(err)
	}
	var wg sync.WaitGroup
	results := make([]string, 2)
	for i, b := range []*flashertest.Board{one, two} {
		wg.Go(func() {
			f, err := flasher.New(b.Open, b, bundle, flasher.WithServers(servers),
				flasher.WithNetwork(b.Network()), flasher.WithCacheDir(dir), flasher.WithCycleWait(time.Millisecond))
			if err != nil {
				log.Fatal(err)
			}
			res, err := f.FlashPrepared(ctx, img)
			if err != nil {
				log.Fatal(err)
			}
			results[i] = fmt.Sprintf("%s proved %d bytes", res.Board, res.ProvedBytes)
		})
	}
	wg.Wait()
	fmt.Println(results[0])
	fmt.Println(results[1])
	// Output:
	// 192.0.2.15 proved 25 bytes
	// 192.0.2.16 proved 25 bytes
}
