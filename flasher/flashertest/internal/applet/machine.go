package applet

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// Machine is what programs need to know of the board beyond its kernel.
type Machine struct {
	Hostname, Release, Version, Arch string
	CPUs                             int
	Network                          *Network
	// NoDirectIO has dd not know the flag "direct", as before busybox 1.33.
	NoDirectIO bool
	// Rescan looks at the disks' partition tables again; nil where nothing changes.
	Rescan func(disk string) error
	// Dial connects to the outside; nil is a board without any network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Network is the board's one network interface and its routes. All methods may
// be called concurrently.
type Network struct {
	Interface string // "" for none
	MAC       string
	// Lease and Gateway are what a DHCP server gives; an invalid Lease is a
	// network without one. They are set before the board starts.
	Lease   netip.Prefix
	Gateway netip.Addr
	DNS     []netip.Addr

	mu      sync.Mutex
	up      bool
	address netip.Prefix
	route   netip.Addr
}

// State returns what is configured now.
func (n *Network) State() (up bool, address netip.Prefix, gateway netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up, n.address, n.route
}

func (n *Network) setUp(up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = up
	if !up {
		n.route = netip.Addr{}
	}
}

func (n *Network) setAddress(a netip.Prefix) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.address = a
}

func (n *Network) setRoute(gateway netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.route = gateway
}

// reaches reports whether there is a way to an address.
func (n *Network) reaches(a netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.IsLoopback() {
		return true
	}
	return n.up && n.address.IsValid() && (n.address.Contains(a) || n.route.IsValid())
}
