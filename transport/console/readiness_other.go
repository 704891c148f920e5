//go:build !unix

package console

import "os"

// readiness does not exist here: a Read cannot be interrupted.
type readiness struct{}

func newReadiness(*os.File) *readiness { return nil }
func (*readiness) readable() error     { return nil }
func (*readiness) wake()               {}
func (*readiness) close()              {}
