package bootloader

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const wgetHelp = "[loadAddress] [[hostIPaddr:]path and image name]"

// help knows wget's only: that is what tells the builds that have it apart.
func (m *machine) help(w []string) int {
	if len(w) == 2 && w[1] == "wget" && m.cfg.Wget {
		return m.usage(w[1:], "boot image via network using HTTP protocol", wgetHelp)
	}
	for _, name := range w[1:] {
		m.printf("Unknown command '%s' - try 'help' without arguments for list of all known commands\n\n", name)
	}
	return 1
}

// wget fetches a file by HTTP into RAM (net/wget.c of U-Boot 2025.01).
func (m *machine) wget(w []string) int {
	if !m.cfg.Wget {
		m.printf("Unknown command '%s' - try 'help'\n", w[0])
		return 1
	}
	if len(w) != 3 {
		return m.usage(w, "boot image via network using HTTP protocol", wgetHelp)
	}
	at, err := number(w[1])
	host, path, found := strings.Cut(w[2], ":")
	if !found {
		host, path = m.env["serverip"], w[2]
	}
	server, err2 := netip.ParseAddr(host)
	if err != nil || err2 != nil {
		return m.usage(w, "boot image via network using HTTP protocol", wgetHelp)
	}
	if m.noNetwork() {
		return 1
	}
	size, packets, err := m.get(at, net.JoinHostPort(server.String(), cmp.Or(m.env["httpdstp"], "80")), path)
	if err != nil {
		if m.interrupted {
			return m.abort()
		}
		m.printf("wget: Transfer Fail - %v\n", err)
		return 1
	}
	m.printf("Packets received %d, Transfer Successful\n", packets)
	if size < 0 {
		return 1
	}
	m.printf("Bytes transferred = %d (%x hex)\n", size, size)
	m.env["filesize"] = fmt.Sprintf("%x", size)
	return 0
}

// get returns -1 for an answer that is no file.
func (m *machine) get(at uint64, address, path string) (size, packets int64, err error) {
	const segment = 1460
	ctx, cancel := context.WithTimeout(m.ctx, 30*time.Second)
	defer cancel()
	conn, err := m.cfg.TCP(ctx, "tcp", address)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path); err != nil {
		return 0, 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	m.printf("%s %s", resp.Proto, resp.Status)
	if resp.StatusCode != http.StatusOK {
		m.print("\n")
		return -1, 4, nil
	}
	part := make([]byte, segment)
	for {
		if m.ctrlC() {
			return 0, 0, errInterrupted
		}
		n, err := io.ReadFull(resp.Body, part)
		m.ram.write(at+uint64(size), part[:n])
		size += int64(n)
		if packets++; packets%100 == 0 {
			m.print("| ")
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF && size == resp.ContentLength {
			break
		}
		if err != nil {
			return 0, 0, err
		}
	}
	m.print("\n")
	return size, packets, nil
}
