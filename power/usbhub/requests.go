package usbhub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dutflash/dutflash/power"
)

// transfer is a control transfer (USB 2.0, 9.3). Data is written to where
// requestType has the bit for it.
type transfer struct {
	requestType, request byte
	value, index         uint16
	data                 []byte
}

// Requests of the hub class (USB 2.0, table 11-16) and their numbers.
const (
	toPort   = 0x23
	fromPort = 0xa3
	fromHub  = 0xa0

	getStatus     = 0
	clearFeature  = 1
	setFeature    = 3
	getDescriptor = 6

	portPower = 8

	hubDescriptor           = 0x2900
	superSpeedHubDescriptor = 0x2a00
)

func (p socket) send(ctx context.Context, t *transfer) error {
	bus, err := p.number("busnum")
	if err != nil {
		return err
	}
	device, err := p.number("devnum")
	if err != nil {
		return err
	}
	node := filepath.Join(p.nodes, fmt.Sprintf("%03d", bus), fmt.Sprintf("%03d", device))
	err = p.control(ctx, node, t)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", power.ErrNotFound, err)
	}
	return explain(err)
}

func (p socket) setDirectly(ctx context.Context, on bool) error {
	request := byte(clearFeature)
	if on {
		request = setFeature
	}
	return p.send(ctx, &transfer{requestType: toPort, request: request, value: portPower, index: uint16(p.port)})
}

func (p socket) stateDirectly(ctx context.Context) (bool, error) {
	t := transfer{requestType: fromPort, request: getStatus, index: uint16(p.port), data: make([]byte, 4)}
	if err := p.send(ctx, &t); err != nil {
		return false, err
	}
	bit := uint16(1 << 8) // USB 2.0, table 11-21
	if super, err := p.superSpeed(); err != nil {
		return false, err
	} else if super {
		bit = 1 << 9 // USB 3.2, table 10-13
	}
	return binary.LittleEndian.Uint16(t.data)&bit != 0, nil
}

func (p socket) superSpeed() (bool, error) {
	speed, err := p.number("speed")
	return speed >= 5000, err
}

// switches asks the hub's descriptor (USB 2.0, table 11-13) whether the power of
// single ports can be switched.
func (p socket) switches(ctx context.Context) error {
	super, err := p.superSpeed()
	if err != nil {
		return err
	}
	t := transfer{requestType: fromHub, request: getDescriptor, value: hubDescriptor, data: make([]byte, 7)}
	if super {
		t.value, t.data = superSpeedHubDescriptor, make([]byte, 12)
	}
	if err := p.send(ctx, &t); err != nil {
		return err
	}
	switch mode := t.data[3] & 3; mode {
	case 1:
		return nil
	case 0:
		return fmt.Errorf("%w: the hub at %s switches the power of all its ports together", power.ErrUnsupported, p.hub)
	default:
		return fmt.Errorf("%w: the hub at %s cannot switch the power of its ports", power.ErrUnsupported, p.hub)
	}
}
