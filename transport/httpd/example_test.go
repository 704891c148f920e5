package httpd_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/dutflash/dutflash/transport/httpd"
)

func Example() {
	s, err := httpd.New()
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go s.Serve(l)
	defer s.Close()
	s.File("image", strings.NewReader("disk image"), 10)
	r, err := http.Get(s.URL(l.Addr().String(), "image"))
	if err != nil {
		panic(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	s.Close() // a client has the last bytes a moment before they are counted
	fmt.Printf("%s, %d bytes\n", b, s.Served("image"))
	// Output: disk image, 10 bytes
}
