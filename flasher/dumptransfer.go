package flasher

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/dutflash/dutflash/internal/workers"
)

// dumpName is the directory of a dump on the HTTP server; its workers send to
// files of their names in it.
const dumpName = "dump"

var dumpWorkers = []string{"a", "b"} // one reads while the other sends

// transfer runs the board's part until everything is with the writer.
func (d *dump) transfer(ctx context.Context) error {
	if d.saved == nil {
		d.saved = make(chan struct{})
		go func(ctx context.Context) {
			defer close(d.saved)
			d.save(ctx)
		}(d.life)
	}
	d.plan.forget()
	m := d.meter(StepDump, d.dev.Path, d.plan.end-d.plan.start)
	ctx, stop := d.w.watch(ctx, func() (any, bool) {
		pos, wire, zero := d.plan.state()
		m.update(pos - d.plan.start)
		return [3]int64{pos, wire, zero}, pos >= d.plan.end
	})
	run := d.overNetwork
	if d.via == ViaConsole {
		run = d.overConsole
	}
	err := run(ctx)
	stop()
	if ended := d.plan.result(); ended != nil {
		return ended
	}
	if pos, _, _ := d.plan.state(); err == nil && pos < d.plan.end {
		err = fmt.Errorf("the script on the board ended at byte %d of %d", pos, d.plan.end)
	}
	if err != nil {
		return errors.Join(stallCause(ctx), err)
	}
	m.update(d.plan.end - d.plan.start)
	return nil
}

// dumpScript is what the board runs.
func dumpScript() ([]byte, error) {
	own, err := scripts.ReadFile("scripts/dump.sh")
	return workers.Script(string(own)), err
}

// overNetwork has the board's script send the pieces by HTTP.
func (d *dump) overNetwork(ctx context.Context) error {
	server := d.servers.http
	server.Handle(dumpName+"/task", workers.Handler(dumpHost{d.plan}))
	for _, name := range dumpWorkers {
		server.Upload(dumpName+"/"+name, 2*d.plan.piece, func(_ context.Context, body io.Reader) error {
			if d.via == ViaWget {
				body = base64.NewDecoder(base64.StdEncoding, body)
			}
			err := d.plan.receive(name, body)
			if err != nil {
				d.f.cfg.log.Warn("A piece did not arrive as it was sent", "worker", name, "error", err)
			}
			return err
		})
	}
	text, err := dumpScript()
	if err != nil {
		return err
	}
	script := d.servers.text("dump.sh", text)
	host, port, err := net.SplitHostPort(d.servers.address())
	if err != nil {
		return err
	}
	device, err := d.w.hold(ctx, d.dev)
	if err != nil {
		return err
	}
	return d.shell.Script(ctx, script, nil, append([]string{
		device, d.servers.url(dumpName), d.w.inputFlags(), d.plan.digest.Program, d.via, host, port, server.Path(dumpName),
	}, dumpWorkers...)...)
}

// overConsole reads the pieces one by one; each crosses with its digest.
func (d *dump) overConsole(ctx context.Context) error {
	const name = "console"
	for {
		task := d.plan.ask(ctx, name)
		switch task.verb {
		case "quit":
			return nil
		case "read":
			at, size := d.plan.taken(name)
			b, err := d.w.readBytes(ctx, d.dev, at, size)
			if err != nil {
				return err
			}
			d.plan.took(name, b)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// save gives the proved pieces to the writer, in order. It is the only one that
// touches out, sum and the bytes in the result.
func (d *dump) save(ctx context.Context) {
	skip := d.cfg.from - d.plan.start
	for {
		b, err := d.plan.wait(ctx)
		if err != nil {
			return // the end, or somebody else's to report
		}
		cut := min(skip, int64(len(b)))
		b, skip = b[cut:], skip-cut
		n, err := d.out.Write(b)
		d.sum.Write(b[:n])
		d.res.Bytes += int64(n)
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		if err != nil {
			d.plan.finish(fmt.Errorf("%w, at byte %d: %w", ErrDumpWriter, d.cfg.from+d.res.Bytes, err))
			return
		}
		d.plan.written()
	}
}

// dumpHost is a plan as its workers see it.
type dumpHost struct{ p *dumpPlan }

func (h dumpHost) Report(name string, id int64, status int, sum string) {
	h.p.report(name, id, status, sum)
}

func (h dumpHost) Next(ctx context.Context, name string) (string, func()) {
	return h.p.ask(ctx, name).String(), nil
}

// result returns what ended the plan early.
func (p *dumpPlan) result() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// taken returns the piece that a worker has.
func (p *dumpPlan) taken(name string) (at, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at = p.workers[name].at
	return at, p.size(at)
}

// took completes a piece that was proved on its way.
func (p *dumpPlan) took(name string, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workers[name]; w != nil && w.at >= 0 {
		p.complete(w, b)
		p.wake()
	}
}
