package httpd_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/dutflash/dutflash/transport/httpd"
)

// watchedListener calls sent before each write to a client.
type watchedListener struct {
	net.Listener
	sent func(b []byte)
}

func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return watchedConn{c, l.sent}, err
}

type watchedConn struct {
	net.Conn
	sent func(b []byte)
}

func (c watchedConn) Write(b []byte) (int, error) {
	c.sent(b)
	return c.Conn.Write(b)
}

// TestServedBeforeItArrives: whoever has a file can rely on it that it is counted.
func TestServedBeforeItArrives(t *testing.T) {
	s, err := httpd.New()
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	s.File("image", bytes.NewReader(content), int64(len(content)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	left, late := 0, int64(0) // bytes that left, headers and all, and the least by which the count was behind
	watched := watchedListener{l, func(b []byte) {
		left += bytes.Count(b, []byte("0123456789abcdef")) * 16
		late = max(late, int64(left)-s.Served("image"))
	}}
	served := make(chan error, 1)
	go func() { served <- s.Serve(watched) }()
	res, err := http.Get(s.URL(l.Addr().String(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	res.Body.Close()
	if n := s.Served("image"); err != nil || !bytes.Equal(got, content) || n != int64(len(content)) {
		t.Errorf("%d bytes came and %d were counted, %v", len(got), n, err)
	}
	s.Close()
	<-served
	if left < len(content)/2 || late > 0 {
		t.Errorf("of %d bytes seen on their way, up to %d were not counted when they left", left, late)
	}
}
