package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/cli"
)

// TestBadInput: one clear line, and no board is touched.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	boards := filepath.Join(dir, "boards.yaml")
	touched := filepath.Join(dir, "touched")
	text := fmt.Sprintf(`boards:
  a: {serial: "exec:cat", power: {type: command, on: "touch %s", off: "touch %[1]s"}, flasher_bundle: %s/none}
  b: {serial: "exec:cat", power: {type: command, on: "touch %[1]s", off: "touch %[1]s"}, flasher_bundle: %[2]s/none}
`, touched, dir)
	if err := os.WriteFile(boards, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image.raw")
	if err := os.WriteFile(image, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"flash"}, "either a FILE or -t"},
		{[]string{"flash", image, "--config", filepath.Join(dir, "none.yaml")}, "no such file"},
		{[]string{"flash", image, "--config", boards}, "the file has a, b"},
		{[]string{"flash", image, "--config", boards, "--board", "c"}, `unknown board "c"`},
		{[]string{"flash", image, "--config", boards, "--board", "a", "--bmap", "x", "--no-bmap"}, "none of the others can be"},
		{[]string{"flash", filepath.Join(dir, "none.raw"), "--config", boards, "--board", "a"}, "image not found"},
		{[]string{"flash", image, "--config", boards, "--board", "a"}, "flash: bundle:"},
		{[]string{"busybox-shell", "--config", boards, "--board", "a"}, "busybox shell: bundle:"},
		{[]string{"explode"}, "unknown command"},
	} {
		t.Run(strings.Join(tc.args[:1], " ")+" "+tc.says, func(t *testing.T) {
			cmd := cli.New()
			var out bytes.Buffer
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			cmd.SetArgs(tc.args)
			err := cmd.ExecuteContext(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
			if _, err := os.Stat(touched); err == nil {
				t.Error("the board was touched")
			}
		})
	}
}

func ExampleNew() {
	for _, c := range cli.New().Commands() {
		fmt.Println(c.Name())
	}
	// Output:
	// board
	// bootloader-shell
	// bundle
	// busybox-shell
	// console
	// dump
	// flash
	// image
	// power
}
