package usbhub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unsupported is an error where the operating system lacks what this package needs.
func unsupported() error { return nil }

// controlTransfer is struct usbdevfs_ctrltransfer of linux/usbdevice_fs.h.
type controlTransfer struct {
	requestType, request byte
	value, index, length uint16
	timeout              uint32 // in ms
	data                 unsafe.Pointer
}

// usbdevfsControl is USBDEVFS_CONTROL: _IOWR('U', 0, struct usbdevfs_ctrltransfer).
const usbdevfsControl = 3<<30 | unsafe.Sizeof(controlTransfer{})<<16 | 'U'<<8

// transferTimeout is what a hub has for an answer; the kernel ends the wait.
const transferTimeout = 5 * time.Second

// control sends a transfer through usbfs. It does not end before the kernel's
// timeout, which is at most transferTimeout.
func control(ctx context.Context, node string, t *transfer) error {
	timeout := transferTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	if ctx.Err() != nil || timeout < time.Millisecond {
		return errors.Join(context.Cause(ctx), context.DeadlineExceeded)
	}
	f, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	c := controlTransfer{requestType: t.requestType, request: t.request, value: t.value, index: t.index,
		length: uint16(len(t.data)), timeout: uint32(timeout.Milliseconds())}
	if len(t.data) > 0 {
		c.data = unsafe.Pointer(&t.data[0])
	}
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), usbdevfsControl, uintptr(unsafe.Pointer(&c)))
	runtime.KeepAlive(t)
	switch {
	case errno != 0:
		return &fs.PathError{Op: "USB control transfer", Path: node, Err: errno}
	case int(n) < len(t.data) && t.request == getStatus:
		return fmt.Errorf("%s: the hub's answer has %d bytes, not %d", node, n, len(t.data))
	case n < 4 && t.request == getDescriptor:
		return fmt.Errorf("%s: the hub's descriptor has %d bytes", node, n)
	}
	return nil
}
