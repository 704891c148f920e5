// Package guest runs tests on a Linux that has the hardware for them: it boots
// Debian's kernel in QEMU with the test's own binary as the init process, which is
// the only program there.
//
//	func TestMain(m *testing.M) { guest.Main(m, onTheBoard) }
//	func TestRealChip(t *testing.T) { guest.Run(t, guest.Machine{Arch: virtboard.ARM64}) }
package guest
