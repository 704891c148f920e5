// Package tftp serves a set of named files, read-only, to bootloaders.
//
// It speaks RFC 1350 with the options of RFC 2347: blksize (2348), tsize and
// timeout (2349) and windowsize (7440). Requests without a window are answered
// by github.com/pin/tftp; windowed ones, and those with options that library
// does not know, by the sender in this package, chosen per request.
//
// Every transfer runs over the one [net.PacketConn] given to [Server.Serve]
// (single-port mode): a reply comes from the port that was asked, which passes
// firewalls and works in a user-mode network stack. Clients take the server's
// port from the first reply (RFC 1350, section 4) and do not care. On Linux a
// server on a wildcard socket answers from the address that was asked; elsewhere
// bind to the address that faces the board: a wildcard socket on a host with
// several addresses may answer from another one than was asked.
//
// Retransmission is timed here for both kinds of transfer, from measured round
// trips, and duplicate acknowledgements do not duplicate data (the sorcerer's
// apprentice). A board that loses something of window after window gets half as
// much at once, down to one block, and is offered that from then on. On Linux a
// window goes out with one call (UDP_SEGMENT) where conn is a [*net.UDPConn]. Packets
// of unknown senders that are no request are ignored.
package tftp
