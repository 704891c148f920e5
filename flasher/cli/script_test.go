package cli_test

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dutflash/dutflash/flasher/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dutflash": func() { os.Exit(cli.Run(cli.New())) }})
}

// TestScripts runs the command as a person would. A script's exit codes are
// checked with the command "exits".
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", env.WorkDir+"/cache")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
		},
	})
}

// exits CODE COMMAND...: runs a command that must end with that code, and leaves
// its output for stdout and stderr.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want := args[0]
	err := ts.Exec("sh", append([]string{"-c", `"$0" "$@"; code=$?; [ $code = ` + want + ` ] || { echo "exit code $code, want ` + want + `" >&2; exit 1; }`}, args[1:]...)...)
	if err != nil {
		ts.Fatalf("%v", err)
	}
}
