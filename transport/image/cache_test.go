package image_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

const childEnv = "DUTFLASH_IMAGE_TEST_HOLD"

// TestHoldInAnotherProcess is the other process of the tests below: it prepares
// an image, says so, and keeps it until its input ends.
func TestHoldInAnotherProcess(t *testing.T) {
	cache := os.Getenv(childEnv)
	if cache == "" {
		return // no test of its own: it runs as a child of TestEvictionSparesWhatAProcessUses
	}
	p, err := prepare(t, open(t, os.Getenv(childEnv+"_IMAGE")), image.WithCacheDir(cache))
	fmt.Printf("held %v\n", err)
	bufio.NewReader(os.Stdin).ReadString('\n')
	if err := checkAll(p); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p.Close()
}

func checkAll(p *image.Prepared) error {
	for _, c := range p.Chunks() {
		b := make([]byte, c.Size)
		if _, err := p.ReadAt(b, c.Offset); err != nil {
			return err
		}
	}
	return nil
}

func images(t *testing.T, cache string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cache, "images", "*.img"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestEvictionSparesWhatAProcessUses(t *testing.T) {
	cache := t.TempDir()
	file := func(i int) string {
		b := rawImage(2 * mib)
		b[0] = byte(i)
		return writeFile(t, fmt.Sprint(i), gzipped(b))
	}
	child := exec.Command(os.Args[0], "-test.run=^TestHoldInAnotherProcess$")
	child.Env = append(os.Environ(), childEnv+"="+cache, childEnv+"_IMAGE="+file(0))
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); line != "held <nil>\n" {
		t.Fatalf("child: %q, %v", line, err)
	}
	for i := range 4 {
		p, err := prepare(t, open(t, file(i+1)), image.WithCacheDir(cache), image.WithCacheLimit(1))
		if err != nil {
			t.Fatal(err)
		}
		if n := images(t, cache); n != 2 { // the child's and this one
			t.Errorf("round %d: %d images", i, n)
		}
		p.Close()
	}
	in.Close()
	rest, _ := r.ReadString(0)
	if err := child.Wait(); err != nil {
		t.Errorf("child: %v %s", err, rest)
	}
	p, err := prepare(t, open(t, file(9)), image.WithCacheDir(cache), image.WithCacheLimit(1))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if n := images(t, cache); n != 1 {
		t.Errorf("%d images after the child has ended", n)
	}
}

func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	cache := t.TempDir()
	dir := filepath.Join(cache, "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	half := strings.Repeat("ab", 32) + "-4194304.img" // moved, and then the power went
	for _, n := range []string{"part-1.img", "part-1.lock", "tmp-1", half} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := prepare(t, open(t, writeFile(t, "i", gzipped(rawImage(mib)))), image.WithCacheDir(cache))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, pattern := range []string{"part-*", "tmp-*", half} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) != 0 {
			t.Errorf("still there: %v", left)
		}
	}
}
