package usbhub

import "context"

// Transfer is what the fake kernel of the tests is asked.
type Transfer struct {
	RequestType, Request byte
	Value, Index         uint16
	Data                 []byte
}

// WithKernel puts a fake kernel in the place of this computer's.
func WithKernel(devices, nodes string, control func(node string, t Transfer) error) Option {
	return func(c *config) error {
		c.system = system{devices, nodes, func(_ context.Context, node string, t *transfer) error {
			return control(node, Transfer{t.requestType, t.request, t.value, t.index, t.data})
		}}
		return nil
	}
}

// WithDevices has the real kernel's devices looked for in a directory.
func WithDevices(dir string) Option {
	return func(c *config) error {
		c.system.devices = dir
		return nil
	}
}

// Control is the real one.
func Control(ctx context.Context, node string) error {
	return control(ctx, node, &transfer{requestType: fromHub, request: getDescriptor, value: hubDescriptor, data: make([]byte, 7)})
}
