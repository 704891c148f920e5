package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

// TestSourcesAlike reads the same bytes from each kind of local source, from
// the start and from the middle.
func TestSourcesAlike(t *testing.T) {
	raw := rawImage(mib)
	path := writeFile(t, "board.raw", raw)
	inFS, err := image.FromFS(fstest.MapFS{"out/board.raw": {Data: raw}}, "out/board.raw")
	if err != nil {
		t.Fatal(err)
	}
	onDisk, err := image.FromFS(os.DirFS(filepath.Dir(path)), "board.raw")
	if err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]image.Source{"path": open(t, path), "file URL": open(t, "file://"+path), "fs.FS": inFS, "os.DirFS": onDisk} {
		t.Run(name, func(t *testing.T) {
			info, err := src.Info(t.Context())
			if err != nil || info.Name != "board.raw" || info.Size != mib {
				t.Errorf("%+v, %v", info, err)
			}
			for _, off := range []int64{0, 1, mib / 2, mib} {
				rc, err := src.Open(t.Context(), off)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(rc); err != nil || !bytes.Equal(got, raw[off:]) {
					t.Errorf("from %d: %d bytes, %v", off, len(got), err)
				}
				rc.Close()
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			rc, err := src.Open(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			why := errors.New("not wanted any more")
			cancel(why)
			if _, err := io.ReadAll(rc); !errors.Is(err, why) {
				t.Errorf("after the end of the context: %v", err)
			}
			p, err := prepare(t, src, image.WithCacheDir(t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			check(t, p, raw, raw)
		})
	}
	for _, name := range []string{"none", "../x", ""} {
		if _, err := image.FromFS(os.DirFS(filepath.Dir(path)), name); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
	if _, err := image.FromFS(fstest.MapFS{}, "none"); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
}

const stdinEnv = "DUTFLASH_IMAGE_TEST_STDIN"

// TestStandardInput pipes a file into another process.
func TestStandardInput(t *testing.T) {
	if os.Getenv(stdinEnv) != "" {
		src := open(t, "-")
		p, err := prepare(t, src, image.WithCacheDir(t.TempDir()), image.WithSHA256(os.Getenv(stdinEnv)))
		if err != nil || p.SHA256() != os.Getenv(stdinEnv+"_RAW") {
			t.Errorf("%s, %v", p.SHA256(), err)
		}
		if _, err := src.Open(t.Context(), 0); !errors.Is(err, image.ErrInvalid) {
			t.Errorf("a second time: %v", err)
		}
		return
	}
	raw := rawImage(mib)
	packed := pack(t, packers[0], raw)
	cat := exec.CommandContext(t.Context(), testtool.Need(t, "cat", "apt-get install coreutils"), writeFile(t, "i.xz", packed))
	pipe, err := cat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStandardInput$")
	cmd.Env = append(os.Environ(), stdinEnv+"="+hexSum(packed), stdinEnv+"_RAW="+hexSum(raw))
	cmd.Stdin = pipe
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if err := cat.Wait(); err != nil {
		t.Error(err)
	}
}
