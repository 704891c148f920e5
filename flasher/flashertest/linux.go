package flashertest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/bootloader"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
)

// linux runs the kernel that U-Boot started until it reboots. Where it ends in
// another way, the board stays as it is until its power goes off.
func (b *Board) linux(ctx context.Context, end bootloader.Ending) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	system, err := linux.Start(running, b.line.Board(running), b.system(end))
	if err != nil {
		b.line.Send(ctx, []byte("flashertest: "+err.Error()+"\r\n"))
		<-ctx.Done()
		return
	}
	typed := make(chan struct{})
	go func() {
		defer close(typed)
		buf := make([]byte, 4096)
		for {
			n, err := b.line.Receive(running, buf)
			if err != nil {
				return
			}
			system.Input(buf[:n])
		}
	}()
	var reset atomic.Bool
	restart := func() {
		reset.Store(true)
		cancel()
	}
	f := b.takeAccidents()
	for _, a := range []struct {
		in     time.Duration
		happen func()
	}{{f.HangIn, cancel}, {f.ResetIn, restart}, {f.PanicIn, func() { system.Panic("Attempted to kill init! exitcode=0x0000000b") }}} {
		if a.in > 0 {
			defer time.AfterFunc(a.in, a.happen).Stop()
		}
	}
	b.disk.resetWith(restart)
	ending := system.Wait()
	b.disk.resetWith(nil)
	cancel()
	<-typed
	if ending != linux.Rebooted && !reset.Load() {
		<-ctx.Done()
	}
}

// takeAccidents returns what is to happen to this run of the kernel, and to none
// after it.
func (b *Board) takeAccidents() Faults {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.faults
	b.faults.HangIn, b.faults.PanicIn, b.faults.ResetIn = 0, 0, 0
	return f
}

func (b *Board) system(end bootloader.Ending) linux.Config {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := linux.Config{
		Disks:  b.disks(),
		Login:  linux.Login{User: b.cfg.login.Username, Password: b.cfg.login.Password},
		Prompt: b.cfg.login.Prompt,
		Tools:  b.tools(), NoDirectIO: b.cfg.noDirectIO,
		Dial: b.network.dialTCP,
	}
	if !b.faults.NoDHCP {
		c.Lease = b.address
	}
	if b.cfg.bootloader.ARM {
		c.Arch = "armv7l"
	}
	if b.faults.RefusePassword || end.Installed {
		c.Login.User, c.Login.Password = "root", "\x00 nobody types this"
	}
	if end.Installed {
		c.Hostname = "installed"
	}
	return c
}

// disks are in the order in which the kernel finds them. It is called with mu held.
func (b *Board) disks() []linux.Disk {
	disks := []linux.Disk{{Address: diskBus, Model: diskModel, Disk: b.disk.disk}}
	if b.second != nil {
		disks = append(disks, linux.Disk{Address: secondBus, Model: diskModel, Disk: b.second.disk})
		if b.faults.SwapDisks {
			slices.Reverse(disks)
		}
	}
	for i := range disks {
		disks[i].Name = fmt.Sprintf("mmcblk%d", i)
	}
	return disks
}

func (b *Board) tools() []string {
	tools := slices.Concat(linux.BusyboxTools(), b.cfg.tools)
	return slices.DeleteFunc(tools, func(t string) bool { return slices.Contains(b.cfg.without, t) })
}
