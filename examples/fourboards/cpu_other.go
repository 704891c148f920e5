//go:build !unix

package main

import "time"

// cpuTime is not known here; virtual boards need a Unix system anyway.
func cpuTime() time.Duration { return 0 }
