package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"oras.land/oras-go/v2/registry"

	"github.com/dutflash/dutflash/internal/registryauth"
)

// Kind says where a bundle came from.
type Kind string

// The kinds of source.
const (
	KindRegistry  Kind = "registry"   // an OCI registry
	KindLayout    Kind = "oci-layout" // an OCI layout directory
	KindTar       Kind = "oci-tar"    // an OCI layout in a tar file
	KindDirectory Kind = "directory"  // manifest.yaml and its files as they are
	KindFS        Kind = "fs"         // the same in an fs.FS
)

// location is a reference that was understood.
type location struct {
	kind Kind
	ref  registry.Reference // for a registry
	path string             // for the others
	tag  string             // tag or digest in a layout, "" for the only one
}

// locate finds out what a reference means. A path that exists wins over the
// name of a repository; "oci://" always means a registry, and "./", "../", "/"
// and "file://" always a path.
func locate(text string) (location, error) {
	if name, ok := strings.CutPrefix(text, "oci://"); ok {
		ref, err := parseReference(name)
		return location{kind: KindRegistry, ref: ref}, err
	}
	path, isPath := asPath(text)
	if loc, err := locatePath(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return loc, err
	}
	// A layout may be followed by a tag or digest.
	for _, sep := range []string{"@", ":"} {
		if i := strings.LastIndex(path, sep); i > 0 {
			loc, err := locatePath(path[:i])
			if err == nil && (loc.kind == KindLayout || loc.kind == KindTar) {
				loc.tag = path[i+1:]
				return loc, nil
			}
		}
	}
	if isPath {
		return location{}, fmt.Errorf("%w: there is no file or directory %q", ErrNotFound, path)
	}
	ref, err := parseReference(text)
	if err != nil {
		return location{}, fmt.Errorf("%w; there is no such path either", err)
	}
	return location{kind: KindRegistry, ref: ref}, nil
}

// asPath takes "file://" off, and says whether text is a path however it goes on.
func asPath(text string) (path string, sure bool) {
	path, sure = strings.CutPrefix(text, "file://")
	return path, sure || filepath.IsAbs(path) || strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../") ||
		path == "." || path == ".." || filepath.VolumeName(path) != ""
}

// shown is how errors and logs call a reference: without the user and password that
// somebody wrote into it, where they are not allowed.
func shown(text string) string {
	name, oci := strings.CutPrefix(text, "oci://")
	clean := registryauth.WithoutUser(name)
	if clean == name {
		return text
	}
	if oci {
		return "oci://" + clean
	}
	path, sure := asPath(text)
	if _, err := os.Lstat(path); sure || err == nil {
		return text
	}
	return clean
}

func locatePath(path string) (location, error) {
	if path == "" {
		return location{}, fs.ErrNotExist
	}
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return location{}, err
	case !fi.IsDir():
		return location{kind: KindTar, path: path}, nil
	}
	if _, err := os.Stat(filepath.Join(path, "oci-layout")); err == nil {
		return location{kind: KindLayout, path: path}, nil
	}
	return location{kind: KindDirectory, path: path}, nil
}

// parseReference applies the rules of the docker command: without a registry
// it is docker.io, a single name there is in library/, and without a tag it is
// "latest". What the oras command accepts means the same here, as it always
// names a registry.
func parseReference(text string) (registry.Reference, error) {
	if registryauth.WithoutUser(text) != text {
		return registry.Reference{}, fmt.Errorf("%w: user and password do not belong into it; set %s and %s, or use WithCredentials",
			ErrReference, registryauth.EnvUser, registryauth.EnvPassword)
	}
	name := text
	first, _, slash := strings.Cut(name, "/")
	if !slash || !strings.ContainsAny(first, ".:[") && first != "localhost" {
		name = "docker.io/" + name
	}
	if host, rest, _ := strings.Cut(name, "/"); host == "docker.io" || host == "index.docker.io" {
		if !strings.Contains(rest, "/") {
			rest = "library/" + rest
		}
		name = "docker.io/" + rest
	}
	ref, err := registry.ParseReference(name)
	if err != nil {
		return registry.Reference{}, fmt.Errorf("%w %q: %v; want REGISTRY/REPOSITORY[:TAG|@DIGEST]", ErrReference, text, err)
	}
	ref.Reference = ref.ReferenceOrDefault()
	return ref, nil
}
