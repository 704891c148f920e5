package tftp_test

import (
	"fmt"
	"net"

	"github.com/dutflash/dutflash/transport/tftp"
)

func Example() {
	s, err := tftp.New(tftp.WithMaxWindowSize(16))
	if err != nil {
		panic(err)
	}
	if err := s.Add("Image", tftp.FromBytes([]byte("kernel"))); err != nil {
		panic(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") // a board asks port 69
	if err != nil {
		panic(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve(conn) }()
	board, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		panic(err)
	}
	defer board.Close()
	_, _ = board.Write([]byte("\x00\x01Image\x00octet\x00"))
	p := make([]byte, 516)
	n, err := board.Read(p)
	fmt.Printf("%s %v\n", p[4:n], err)
	_ = s.Close()
	fmt.Println(<-served)
	// Output:
	// kernel <nil>
	// <nil>
}
