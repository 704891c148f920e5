package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/dutflash/dutflash/power"
)

// monitor is a conversation with QEMU's machine protocol (docs/interop/qmp-spec):
// one JSON object a line, a greeting, qmp_capabilities, then commands, with
// events in between.
type monitor struct {
	conn net.Conn
	in   *bufio.Reader
	stop func() bool
	ctx  context.Context // of the one operation that the monitor was dialled for
}

// maxLine limits what is read of one answer.
const maxLine = 1 << 20

func dialMonitor(ctx context.Context, network, address string) (*monitor, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w: no QEMU listens there: %w", power.ErrNotFound, err)
		}
		return nil, err
	}
	m := &monitor{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), ctx: ctx}
	m.stop = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	greeting, err := m.read()
	switch {
	case err != nil:
		err = fmt.Errorf("waiting for the monitor's greeting (QEMU serves one client at a time; is another connected?): %w", err)
	case greeting.QMP == nil:
		err = fmt.Errorf("%w: what listens there is no QMP monitor", power.ErrRefused)
	default:
		_, err = m.execute("qmp_capabilities")
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) close() {
	m.stop()
	m.conn.Close()
}

// message is any of the objects that QEMU sends.
type message struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Event  string          `json:"event"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

func (m *monitor) read() (message, error) {
	var line []byte
	for {
		part, err := m.in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if m.ctx.Err() != nil {
			return message{}, context.Cause(m.ctx)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return message{}, fmt.Errorf("QEMU's monitor: %w", err)
		}
		if len(line) > maxLine {
			return message{}, fmt.Errorf("%w: QEMU's monitor sent more than %d bytes in one line", power.ErrRefused, maxLine)
		}
	}
	var msg message
	if err := json.Unmarshal(line, &msg); err != nil {
		return message{}, fmt.Errorf("%w: QEMU's monitor sent %.80q: %w", power.ErrRefused, line, err)
	}
	return msg, nil
}

// execute runs a command without arguments and returns its answer.
func (m *monitor) execute(command string) (json.RawMessage, error) {
	if _, err := fmt.Fprintf(m.conn, "{\"execute\":%q}\n", command); err != nil {
		if m.ctx.Err() != nil {
			err = context.Cause(m.ctx)
		}
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	for {
		msg, err := m.read()
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", command, err)
		case msg.Error != nil:
			return nil, fmt.Errorf("%w: %s: %s", power.ErrRefused, command, msg.Error.Desc)
		case msg.Return != nil:
			return msg.Return, nil
		}
	}
}

// status is QEMU's run state, such as "running" or "prelaunch".
func (m *monitor) status() (string, error) {
	answer, err := m.execute("query-status")
	if err != nil {
		return "", err
	}
	var s struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(answer, &s); err != nil || s.Status == "" {
		return "", fmt.Errorf("%w: query-status answered %.80q", power.ErrRefused, answer)
	}
	return s.Status, nil
}

// on lets the machine run, from reset where it had come to an end.
func (m *monitor) on() error {
	status, err := m.status()
	if err != nil {
		return err
	}
	switch status {
	case "running":
		return nil
	case "prelaunch", "paused", "debug":
	case "shutdown", "guest-panicked", "internal-error", "io-error", "watchdog", "suspended":
		if _, err := m.execute("system_reset"); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: QEMU is in state %q", power.ErrRefused, status)
	}
	_, err = m.execute("cont")
	return err
}

// resetEvery is how often the state is asked for while a reset is awaited.
const resetEvery = 20 * time.Millisecond

// off stops the machine and resets it: nothing runs, and what runs next starts
// from the first instruction. QEMU carries out a reset after it has answered.
func (m *monitor) off() error {
	for _, command := range []string{"stop", "system_reset"} {
		if _, err := m.execute(command); err != nil {
			return err
		}
	}
	for {
		status, err := m.status()
		if err != nil {
			return fmt.Errorf("waiting for the reset (a QEMU with -no-reboot ends instead): %w", err)
		}
		if status == "prelaunch" {
			return nil
		}
		t := time.NewTimer(resetEvery)
		select {
		case <-m.ctx.Done():
			t.Stop()
			return fmt.Errorf("waiting for the reset in state %q: %w", status, context.Cause(m.ctx))
		case <-t.C:
		}
	}
}

// parseAddress takes unix:PATH, a path, tcp:HOST:PORT and HOST:PORT.
func parseAddress(s string) (network, address string, err error) {
	if rest, ok := strings.CutPrefix(s, "unix:"); ok && rest != "" {
		return "unix", rest, nil
	}
	if strings.ContainsAny(s, `/\`) {
		return "unix", s, nil
	}
	host := strings.TrimPrefix(s, "tcp:")
	if host == "unix:" {
		return "", "", fmt.Errorf("monitor address %q has no path", s)
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		return "", "", fmt.Errorf("monitor address %q: want unix:PATH or tcp:HOST:PORT", s)
	}
	return "tcp", host, nil
}
