// Package httpd is the HTTP server of one flashing session.
//
// Everything it serves lies under a random path prefix; any other path is
// answered with a plain 404. It knows files with ranges (RFC 9110, section 14),
// whose bytes are counted as the socket accepts them, small uploads, and
// handlers of the caller. There is no limit on how long a transfer takes, only
// on how long one may stand still.
package httpd
