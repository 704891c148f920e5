package bundle

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed templates/*.yaml
var templates embed.FS

var boardName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Templates returns the names of the templates for [WriteTemplate]: "booti"
// (arm64, RISC-V), "bootz" (32-bit ARM), "fit" (one FIT image).
func Templates() []string {
	entries, err := templates.ReadDir("templates")
	if err != nil {
		return nil // the files are part of the program
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// WriteTemplate starts a bundle for a new board: it writes dir/manifest.yaml,
// with comments on what to fill in, and makes dir/data for the files. board
// becomes metadata.name; it has lower-case letters, digits, ".", "_", "-". An
// existing manifest is not overwritten. [Lint] then says what is missing.
func WriteTemplate(dir, template, board string) (err error) {
	defer func() { err = fail("start", dir, "", err) }()
	if !slices.Contains(Templates(), template) {
		return fmt.Errorf("there is no template %q, only %s", template, list(Templates()))
	}
	if !boardName.MatchString(board) {
		return fmt.Errorf("%q is no name for a board: want lower-case letters, digits, \".\", \"_\" and \"-\"", board)
	}
	text, err := fs.ReadFile(templates, "templates/"+template+".yaml")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "data", "dtbs"), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, DefaultManifest), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.ReplaceAll(string(text), "BOARDNAME", board))
	return errors.Join(err, f.Close())
}
