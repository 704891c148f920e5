package serial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.bug.st/serial"
)

// ErrRFC2217: the server does not speak RFC 2217, or refuses a line setting.
var ErrRFC2217 = errors.New("the server does not set the serial line")

// Commands of RFC 2217; the server's answer is the command plus comAnswer.
const (
	comBaud    = 1
	comData    = 2
	comParity  = 3
	comStop    = 4
	comControl = 5
	comModem   = 7 // only as an answer: NOTIFY-MODEMSTATE
	comAnswer  = 100

	comModemMask = 11

	comDTROn, comDTROff = 8, 9
	comRTSOn, comRTSOff = 11, 12
)

// rfc2217Timeout is for the line settings, where the context has no deadline.
const rfc2217Timeout = 10 * time.Second

// lineSetting is one command and the value that must come back.
type lineSetting struct {
	name    string
	command byte
	value   []byte
}

// hint is what to do where the server does not set it.
func (s lineSetting) hint() string {
	if s.command == comControl {
		return " (a port without modem lines? leave dtr and rts out of the URL)"
	}
	return ""
}

// openRFC2217 opens rfc2217://HOST:PORT?baud=... and returns when the server has
// said that the line is set.
func openRFC2217(ctx context.Context, rest string) (_ io.ReadWriteCloser, err error) {
	address, mode, err := parseRFC2217(rest)
	if err != nil {
		return nil, err
	}
	t, err := dialTelnet(ctx, "rfc2217", address, optComPort)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	port := newComPort(t) // which hears what the server says of the modem lines meanwhile
	ctx, cancel := context.WithTimeout(ctx, rfc2217Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { t.conn.SetReadDeadline(time.Unix(1, 0)) })
	err = t.setLine(comSettings(mode))
	if !stop() && err != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if err != nil {
		return nil, err
	}
	if err := t.conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return port, nil
}

func parseRFC2217(rest string) (where string, mode *serial.Mode, err error) {
	where, query, _ := strings.Cut(rest, "?")
	if mode, err = parseMode(query); err == nil {
		_, err = address("rfc2217", where)
	}
	return where, mode, err
}

// setLine sends the settings and waits for the answers. Data that comes meanwhile
// is kept.
func (t *telnet) setLine(settings []lineSetting) error {
	answers := map[byte][][]byte{}
	whoever := t.subnegotiated
	defer func() { t.subnegotiated = whoever }()
	t.subnegotiated = func(p []byte) {
		whoever(p)
		if len(p) > 1 && p[0] == optComPort {
			answers[p[1]] = append(answers[p[1]], append([]byte(nil), p[2:]...))
		}
	}
	for _, s := range settings {
		if err := t.subnegotiate(append([]byte{optComPort, s.command}, s.value...)...); err != nil {
			return err
		}
	}
	for _, s := range settings {
		for len(answers[s.command+comAnswer]) == 0 {
			if t.refused[optComPort] {
				return fmt.Errorf("%w: it does not speak RFC 2217 (use telnet:// or tcp://)", ErrRFC2217)
			}
			if err := t.receive(); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					err = fmt.Errorf("%w: no answer to %s%s", ErrRFC2217, s.name, s.hint())
				}
				return err
			}
		}
		got := answers[s.command+comAnswer][0]
		answers[s.command+comAnswer] = answers[s.command+comAnswer][1:]
		if string(got) != string(s.value) {
			return fmt.Errorf("%w: %s should be %d and is %d", ErrRFC2217, s.name, s.value, got)
		}
	}
	return nil
}

// comSettings are the commands for a mode.
func comSettings(m *serial.Mode) []lineSetting {
	parity := map[serial.Parity]byte{serial.NoParity: 1, serial.OddParity: 2, serial.EvenParity: 3, serial.MarkParity: 4, serial.SpaceParity: 5}
	stop := map[serial.StopBits]byte{serial.OneStopBit: 1, serial.TwoStopBits: 2, serial.OnePointFiveStopBits: 3}
	settings := []lineSetting{
		{"the speed", comBaud, binary.BigEndian.AppendUint32(nil, uint32(m.BaudRate))},
		{"the data bits", comData, []byte{byte(m.DataBits)}},
		{"the parity", comParity, []byte{parity[m.Parity]}},
		{"the stop bits", comStop, []byte{stop[m.StopBits]}},
	}
	if bits := m.InitialStatusBits; bits != nil {
		line := func(on bool, yes, no byte) []byte {
			if on {
				return []byte{yes}
			}
			return []byte{no}
		}
		settings = append(settings, lineSetting{"DTR", comControl, line(bits.DTR, comDTROn, comDTROff)},
			lineSetting{"RTS", comControl, line(bits.RTS, comRTSOn, comRTSOff)})
	}
	return settings
}
