//go:build !windows

package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/cli"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// TestFlashJSON: each line is an object, the last the result.
func TestFlashJSON(t *testing.T) {
	p := sitDown(t)
	out, err := os.Create(filepath.Join(p.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := cli.New(p.opts...)
	cmd.SetArgs([]string{"flash", filepath.Join(p.dir, "image.raw"), "--json", "--config", filepath.Join(p.dir, "boards.yaml")})
	cmd.SetOut(out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]bool{}
	var wire int64
	var last struct {
		Step   string `json:"step"`
		Wire   int64  `json:"wire"`
		Result struct {
			SHA256  string  `json:"sha256"`
			Device  string  `json:"device"`
			Seconds float64 `json:"elapsed_seconds"`
		} `json:"result"`
		Exit *int `json:"exit_code"`
	}
	for line := range strings.Lines(string(text)) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		steps[last.Step] = true
		wire = max(wire, last.Wire)
	}
	if wire == 0 {
		t.Error("no event tells what went over the network")
	}
	if last.Exit == nil || *last.Exit != 0 || last.Result.Device != "/dev/mmcblk0" || last.Result.Seconds <= 0 || len(last.Result.SHA256) != 64 {
		t.Errorf("the last line is %+v", last)
	}
	if !steps["write"] || !steps["power"] {
		t.Errorf("steps %v", steps)
	}
}

// TestDump reads back what is on the disk, holes and all.
func TestDump(t *testing.T) {
	content := []byte(strings.Repeat("on the disk", 300_000))
	p := sitDown(t, flashertest.WithDisk(12<<20, content))
	file := filepath.Join(p.dir, "dump.raw")
	run := func(args ...string) error {
		cmd := cli.New(p.opts...)
		cmd.SetArgs(append([]string{"dump", file, "--config", filepath.Join(p.dir, "boards.yaml")}, args...))
		cmd.SetOut(t.Output())
		cmd.SetErr(t.Output())
		return cmd.ExecuteContext(t.Context())
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	want := append(content, make([]byte, 12<<20-len(content))...)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the dump has %d bytes and is not the disk (%v)", len(got), err)
	}
	if err := run(); err == nil || !strings.Contains(err.Error(), "--force") || cli.ExitCode(err) != 2 {
		t.Errorf("over a file that is there: %v", err)
	}
	if err := os.Truncate(file, 8<<20); err != nil {
		t.Fatal(err)
	}
	if err := run("--from", "8388608"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the continued dump has %d bytes and is not the disk (%v)", len(got), err)
	}
	if err := os.WriteFile(file, bytes.Repeat([]byte("old"), 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run("--force"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the dump over another file has %d bytes and is not the disk (%v)", len(got), err)
	}
	p.isOff(t)
}

// TestDumpJSON: each line is an object, the last the result, also of a failure.
func TestDumpJSON(t *testing.T) {
	p := sitDown(t, flashertest.WithDisk(12<<20, []byte(strings.Repeat("on the disk", 300_000))))
	for _, tc := range []struct {
		target string
		code   int
	}{{"", 0}, {"/dev/none", 7}} {
		var out bytes.Buffer
		cmd := cli.New(p.opts...)
		args := []string{"dump", filepath.Join(p.dir, "dump.raw"), "--force", "--json", "--config", filepath.Join(p.dir, "boards.yaml")}
		if tc.target != "" {
			args = append(args, "--target", tc.target)
		}
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		if err := cmd.ExecuteContext(t.Context()); cli.ExitCode(err) != tc.code {
			t.Fatalf("exit code %d of %v, want %d", cli.ExitCode(err), err, tc.code)
		}
		var last struct {
			Step   string `json:"step"`
			Error  string `json:"error"`
			Result struct {
				Bytes int64 `json:"bytes"`
			} `json:"result"`
			Exit *int `json:"exit_code"`
		}
		for line := range strings.Lines(out.String()) {
			if err := json.Unmarshal([]byte(line), &last); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
		}
		if last.Exit == nil || *last.Exit != tc.code || (tc.code == 0) != (last.Error == "") || tc.code == 0 && last.Result.Bytes != 12<<20 {
			t.Errorf("the last line is %+v", last)
		}
	}
}
