//go:build !linux

package virtboard

import "net"

// unread cannot tell here, so that a card that sleeps stays asleep.
func unread(net.Conn) int { return 0 }
