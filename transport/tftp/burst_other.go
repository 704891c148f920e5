//go:build !linux

package tftp

// writeSegments reports that several datagrams cannot be sent with one call.
func (*wire) writeSegments([]byte, int, *end) bool { return false }
