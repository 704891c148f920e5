package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLabtool(t *testing.T) {
	dir := t.TempDir()
	did := filepath.Join(dir, "did")
	program := filepath.Join(dir, "rackctl")
	boards := filepath.Join(dir, "boards.yaml")
	for path, text := range map[string]string{
		program: "#!/bin/sh\necho \"$@\" >>" + did + "\n",
		boards:  "boards:\n  a:\n    board: rcar-s4\n    serial: /dev/ttyUSB0\n    power: {type: rack, program: " + program + ", outlet: 7}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tool := newTool()
	tool.SetArgs([]string{"board", "power", "on", "--config", boards})
	if err := tool.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(did); err != nil || string(got) != "7 on\n" {
		t.Errorf("the switch was called with %q, %v", got, err)
	}
	var out strings.Builder
	tool = newTool()
	tool.SetOut(&out)
	tool.SetArgs([]string{"hello"})
	if err := tool.ExecuteContext(t.Context()); err != nil || out.String() != "hello\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}
