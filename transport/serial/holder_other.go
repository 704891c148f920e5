//go:build !linux

package serial

// holder is known on Linux only.
func holder(string) string { return "" }
