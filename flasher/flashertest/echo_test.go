package flashertest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/uboot"
)

// lossy is a console that loses each "t" that is typed.
type lossy struct{ io.ReadWriteCloser }

func (l lossy) Write(p []byte) (int, error) {
	if _, err := l.ReadWriteCloser.Write(bytes.ReplaceAll(p, []byte("t"), nil)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// TestEchoIsRetried: a board on whose console no command can be typed to U-Boot is
// power-cycled, and its console opened anew.
func TestEchoIsRetried(t *testing.T) {
	t.Parallel()
	b, err := flashertest.NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	bundle := t.TempDir()
	if err := b.WriteBundle(bundle); err != nil {
		t.Fatal(err)
	}
	opened := 0
	f, err := flasher.New(func(ctx context.Context) (io.ReadWriteCloser, error) {
		port, err := b.Open(ctx)
		if opened++; err != nil || opened > 1 {
			return port, err
		}
		return lossy{port}, nil
	}, b, bundle, flasher.WithNetwork(b.Network()), flasher.WithCacheDir(t.TempDir()), flasher.WithCycleWait(time.Millisecond),
		flasher.WithTranscript(t.Output()), flasher.WithRetryWait(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	path, _ := image(t, mib)
	res, err := f.Flash(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Attempts) != 1 || !errors.Is(res.Attempts[0].Err, uboot.ErrEcho) || res.Attempts[0].Step != flasher.StepNetwork {
		t.Errorf("the failed attempts are %+v, want one with %v", res.Attempts, uboot.ErrEcho)
	}
}
