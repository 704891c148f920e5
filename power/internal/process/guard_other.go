//go:build !unix

package process

import (
	"context"
	"os/exec"
)

func guarded(ctx context.Context, args []string) (*exec.Cmd, func(), error) {
	return exec.CommandContext(ctx, args[0], args[1:]...), func() {}, nil
}
