package uboot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var (
	// httpRefused is a server's answer: its status line, as the older network stack
	// prints it, or the number that lwIP prints.
	httpRefused = regexp.MustCompile(`HTTP/1\.\d [13-5]\d\d[^\r\n]*|HTTP server error \d+`)
	// httpFailed is a transfer that did not come to its end.
	httpFailed = regexp.MustCompile(`wget: Transfer Fail[^\r\n]*|wget error: [^\r\n]*|HTTP client error \d+|ERROR: misssed HTTP header|No free tcp streams`)
	// takesURL is in the help of a wget that takes URLs, and only there.
	takesURL = regexp.MustCompile(`(?i)\burl\b|HTTP/HTTPS`)
	// wgetStalled is a transfer whose last sign is a timeout.
	wgetStalled = regexp.MustCompile(`T\s*(?:Abort)?\s*$`)
	release     = regexp.MustCompile(`U-Boot (\d{4})\.(\d\d)`)
)

// httpPort is the variable for the port, and httpPortSince the first release in
// which wget looks at it.
const (
	httpPort      = "httpdstp"
	httpPortSince = 202410
)

// LoadWget loads a file from an HTTP server into RAM and checks what arrived, as
// [Session.TFTPBoot] does. f.Name is the URL, such as http://192.168.1.1:8080/kernel:
// http only, no user, no query.
//
// It is U-Boot's command wget (2022.10 and later, CONFIG_CMD_WGET). Builds with
// lwIP (2024.10 and later) get the URL. The others get host:path: their host must
// be an IPv4 address, and a port other than 80 goes by $httpdstp, which is put
// back. Releases before 2024.10 connect to port 80 whatever is set: there, another
// port is [ErrWgetPort] before anything is asked, unless $httpdstp is set already,
// by which a build that was taught later is known. $serverip may be the URL's
// host afterwards.
//
// Further errors: [ErrUnknownCommand] where the build has no wget, [ErrHTTP] where
// the server refused or the transfer broke off, [ErrNoServer], [ErrNoEthernet],
// [ErrSize], [ErrCRC].
func (s *Session) LoadWget(ctx context.Context, f File) (Loaded, error) {
	cmd := "wget"
	l, err := s.loadWget(ctx, f, &cmd)
	if err != nil {
		return l, s.fail("wget", cmd, err)
	}
	return l, nil
}

func (s *Session) loadWget(ctx context.Context, f File, cmd *string) (l Loaded, err error) {
	at, err := parseURL(f.Name)
	if err != nil {
		return l, err
	}
	if !safeWord.MatchString(f.Address) {
		return l, fmt.Errorf("address %q has a character that U-Boot's command line does not take", f.Address)
	}
	*cmd = "wget " + f.Address + " " + f.Name
	lwip, err := s.wgetTakesURL(ctx)
	if err != nil {
		return l, err
	}
	if !lwip {
		if !at.host.Is4() {
			return l, fmt.Errorf("this U-Boot's wget takes an IPv4 address, not the host of %s", f.Name)
		}
		*cmd = "wget " + f.Address + " " + at.host.String() + ":" + at.path
		before, err := s.setHTTPPort(ctx, at.port)
		if err != nil {
			return l, err
		}
		defer func() { err = joined(err, s.putBack(ctx, before...)) }()
	}
	out, err := s.run(ctx, *cmd, networkLoops())
	if err := wgetFailure(out, err); err != nil {
		return l, err
	}
	return s.checkLoaded(ctx, f, "wget", out)
}

// webAddress is what wget has to know of a URL. The host is the zero value where it
// is a name.
type webAddress struct {
	host netip.Addr
	port uint16
	path string
}

func parseURL(text string) (a webAddress, err error) {
	u, err := url.Parse(text)
	if err != nil { // which has the URL in it, maybe with a password
		return a, errors.New("the file's URL is malformed")
	}
	taken := safeWord.MatchString(text)
	text = u.Redacted()
	switch {
	case u.Scheme != "http":
		return a, fmt.Errorf("URL %q: wget loads by http:// only", text)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Hostname() == "" || strings.Contains(u.Host, "["):
		return a, fmt.Errorf("URL %q: want http://HOST[:PORT]/PATH", text)
	case !strings.HasPrefix(u.Path, "/") || u.Path == "/":
		return a, fmt.Errorf("URL %q names no file", text)
	case !taken:
		return a, fmt.Errorf("URL %q has a character that U-Boot's command line does not take", text)
	}
	a.port, a.path = 80, u.EscapedPath()
	if _, port, found := strings.Cut(u.Host, ":"); found {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return a, fmt.Errorf("URL %q: %q is no port", text, port)
		}
		a.port = uint16(n)
	}
	if host, err := netip.ParseAddr(u.Hostname()); err == nil {
		a.host = host
	}
	return a, nil
}

// wgetTakesURL asks the help, which a build without wget does not have either. A
// build without the help command is taken for an older one. The exit status of
// help is 1 (2025.01) also where it helps.
func (s *Session) wgetTakesURL(ctx context.Context) (bool, error) {
	out, err := s.run(ctx, "help wget", nil)
	switch {
	case strings.Contains(out, "Unknown command 'help'"):
		return false, nil
	case unknown.MatchString(out):
		return false, cmp.Or(err, ErrUnknownCommand)
	case err != nil && !isStatus(err):
		return false, err
	}
	return takesURL.MatchString(out), nil
}

// setHTTPPort has wget connect to a port, and returns what has to be put back.
func (s *Session) setHTTPPort(ctx context.Context, port uint16) ([]setting, error) {
	old, err := s.env(ctx, httpPort)
	switch {
	case errors.Is(err, ErrNotDefined):
		if port == 80 {
			return nil, nil
		}
		out, err := s.run(ctx, "version", nil)
		if err != nil {
			return nil, err
		}
		if v := release.FindStringSubmatch(out); v != nil {
			if n, err := strconv.Atoi(v[1] + v[2]); err == nil && n < httpPortSince {
				return nil, fmt.Errorf("%w: %s.%s knows port 80 only: serve the file there", ErrWgetPort, v[1], v[2])
			}
		}
	case err != nil:
		return nil, err
	case old == strconv.Itoa(int(port)):
		return nil, nil
	}
	before := []setting{{httpPort, old}}
	if err := s.setEnv(ctx, httpPort, strconv.Itoa(int(port))); err != nil {
		return nil, errors.Join(err, s.putBack(ctx, before...))
	}
	return before, nil
}

// wgetFailure names what wget failed of. The older network stack prints "Transfer
// Successful" behind a page that says 404, so the status line is looked at first,
// and nothing at all where the connection was refused.
func wgetFailure(out string, err error) error {
	known := recognise(out, networkFailures())
	switch {
	case errors.Is(err, ErrUnknownCommand), errors.Is(err, ErrReset), errors.Is(err, ErrCrash):
		return err
	case httpRefused.MatchString(out):
		return withCause(fmt.Errorf("%w: %s", ErrHTTP, httpRefused.FindString(out)), err)
	case err != nil && known != nil:
		return withCause(known, err)
	case httpFailed.MatchString(out):
		return withCause(fmt.Errorf("%w: %s", ErrHTTP, httpFailed.FindString(out)), err)
	case isStatus(err) && strings.TrimSpace(out) == "":
		return fmt.Errorf("%w: nothing accepts connections there, or a firewall refuses them: %w", ErrNoServer, err)
	case isStatus(err):
		return fmt.Errorf("%w: %w", ErrHTTP, err)
	case errors.Is(err, context.DeadlineExceeded) && wgetStalled.MatchString(out):
		return fmt.Errorf("%w: %w", ErrNoServer, err)
	case err != nil:
		return err
	case !transferred.MatchString(out) && known != nil: // no exit status to tell
		return known
	}
	return nil
}

func withCause(known, err error) error {
	if err == nil {
		return known
	}
	return fmt.Errorf("%w: %w", known, err)
}
