package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/internal/testtool"
)

// tarGz packs entries as oras packs a folder.
func tarGz(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	if _, err := gz.Write(tarOf(tb, entries...)); err != nil {
		tb.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, e := range entries {
		h := tar.Header{Typeflag: e.flag, Name: e.name, Linkname: e.to, Mode: 0o644, Size: int64(len(e.content))}
		if err := tw.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(tw, e.content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func zstdOf(tb testing.TB, data []byte) []byte {
	tb.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer enc.Close()
	return enc.EncodeAll(data, nil)
}

// entry is one entry of a tar.
type entry struct {
	flag              byte
	name, content, to string
}

func file(name, content string) entry { return entry{tar.TypeReg, name, content, ""} }

func link(flag byte, name, to string) entry { return entry{flag, name, "", to} }

func folder(title string, data []byte) testLayer {
	return testLayer{title: title, mediaType: ocispec.MediaTypeImageLayerGzip, data: data,
		notes: map[string]string{"io.deis.oras.content.unpack": "true"}}
}

// bomb is a folder layer of zero bytes, which compress a thousandfold.
func bomb(tb testing.TB, size int64) []byte {
	tb.Helper()
	var b bytes.Buffer
	gz, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	tw := tar.NewWriter(gz)
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "data/zeros", Mode: 0o644, Size: size}); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.CopyN(tw, zeroReader{}, size); err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestFolderLayers(t *testing.T) {
	host := startRegistry(t, nil)
	kernel := string(smallBundle()[1].data)
	data := tarGz(t, link('5', "data", ""), file("data/kernel", kernel), link('5', "data/dtbs/", ""), file("data/dtbs/a.dtb", "dtb"))
	plain := func(title string, data []byte) testLayer { // as oras-py marks folders: by media type alone
		return testLayer{title: title, data: data, mediaType: ocispec.MediaTypeImageLayerGzip}
	}
	push(t, host, "b", "oras", manifestLayer, folder("data", data))
	push(t, host, "b", "oras-py", manifestLayer, plain("data", data))
	for suffix, mediaType := range map[string]string{"-zstd": ocispec.MediaTypeImageLayerZstd, "-zstd-as-gzip": ocispec.MediaTypeImageLayerGzip} {
		packed := folder("data", tarZstd(t, smallFiles()))
		packed.mediaType = mediaType
		push(t, host, "b", "marked"+suffix, manifestLayer, packed)
	}
	push(t, host, "b", "media-type-zstd", manifestLayer, testLayer{title: "data", data: tarZstd(t, smallFiles()), mediaType: ocispec.MediaTypeImageLayerZstd})
	push(t, host, "b", "all", folder(".", tarGz(t, file("./manifest.yaml", smallManifest), file("./data/kernel", kernel), file("./data/dtbs/a.dtb", "dtb"))))
	for _, tag := range []string{"oras", "oras-py", "all", "marked-zstd", "marked-zstd-as-gzip", "media-type-zstd"} {
		t.Run(tag, func(t *testing.T) {
			dir := t.TempDir()
			same(t, open(t, host+"/b:"+tag, bundle.WithCacheDir(dir)), bundle.KindRegistry, true)
			same(t, open(t, host+"/b:"+tag, bundle.WithCacheDir(dir), bundle.WithOffline()), bundle.KindRegistry, true)
			// A file that was lost from the cache is unpacked again, without the registry.
			if err := os.Remove(blobPath(dir, []byte(kernel))); err != nil {
				t.Fatal(err)
			}
			same(t, open(t, host+"/b:"+tag, bundle.WithCacheDir(dir), bundle.WithOffline()), bundle.KindRegistry, true)
		})
	}
	// A tar.gz or tar.zst that is meant as a file stays one.
	layers := append(smallBundle(), plain("data/rootfs.tar.gz", data),
		testLayer{title: "data/rootfs.tar.zst", data: []byte("zstd"), mediaType: ocispec.MediaTypeImageLayerZstd})
	push(t, host, "b", "file", layers...)
	b := open(t, host+"/b:file", bundle.WithCacheDir(t.TempDir()))
	if read(t, b, "data/rootfs.tar.gz") != string(data) || read(t, b, "data/rootfs.tar.zst") != "zstd" {
		t.Error("the file was changed")
	}
}

// tarZstd packs the folder data with the real tar and zstd.
func tarZstd(t *testing.T, files map[string]string) []byte {
	t.Helper()
	tarCmd := testtool.Need(t, "tar", "apt-get install tar")
	testtool.Need(t, "zstd", "apt-get install zstd")
	cmd := exec.CommandContext(t.Context(), tarCmd, "-C", writeDir(t, t.TempDir(), files), "--use-compress-program=zstd -19", "-cf", "-", "data")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
