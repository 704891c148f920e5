package flasher

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/dutflash/dutflash/transport/image"
)

// Remote says how a board reaches the image's own server, for [WithDirect].
type Remote struct {
	// Header are further request headers.
	Header map[string]string
	// BearerToken authorizes with a token.
	BearerToken string
	// CAFile is a local PEM file of certificates to trust. It is brought onto
	// the board, whose curl then trusts these only.
	CAFile string
	// InsecureTLS accepts any certificate.
	InsecureTLS bool
}

// WithDirect has the board fetch the image from its http(s) URL itself, by
// [MethodShell]; it is an error with another method, and in a flash of anything
// but such a URL. The host reads the image as well, to know what is to be on the
// device, and uses the same headers, token and certificates for it.
//
// Headers and token are in no log, transcript, or command line on the console.
// The board's clock is set before, for TLS. Verified TLS needs curl on the board,
// because busybox's wget does not verify certificates: without curl an https URL
// is refused unless InsecureTLS is given.
func WithDirect(r Remote) Option {
	return func(c *config) error {
		for name, value := range r.Header {
			if strings.ContainsAny(name+value, "\r\n\x00") {
				return fmt.Errorf("WithDirect: the header %q has a line break", name)
			}
			c.source = append(c.source, image.WithHeader(name, value))
		}
		if strings.ContainsAny(r.BearerToken, "\r\n\x00") {
			return errors.New("WithDirect: the token has a line break")
		}
		if r.BearerToken != "" {
			c.source = append(c.source, image.WithBearerToken(r.BearerToken))
		}
		if r.CAFile != "" {
			if _, err := os.Stat(r.CAFile); err != nil {
				return fmt.Errorf("WithDirect: CA file: %w", err)
			}
			c.source = append(c.source, image.WithCAFile(r.CAFile))
		}
		if r.InsecureTLS {
			c.source = append(c.source, image.WithInsecureTLS())
		}
		c.direct = &r
		return nil
	}
}

// checkDirect refuses what WithDirect does not go with.
func (c *config) checkDirect() error {
	if c.direct != nil && c.method != MethodAuto && c.method != MethodShell {
		return fmt.Errorf("WithDirect is for method %q, and method %q was chosen", MethodShell, c.method)
	}
	return nil
}

func isURL(ref string) bool {
	return strings.HasPrefix(ref, "http://") || strings.HasPrefix(ref, "https://")
}

// supply is where the board's pipeline gets the image.
type supply struct {
	fragment   string // of shell, defines get_image
	decompress string
	caURL      string
	sent       *atomic.Int64 // nil where the board fetches from elsewhere
	changed    *atomic.Bool  // the host served another file than the one that it prepared
	what       string        // for the log
}

// The names of what the pipeline fetches from the HTTP server.
const (
	storedName   = "image-stored"
	fragmentName = "get-image"
	caName       = "ca.pem"
)

// supply chooses what the pipeline gets: the image from its own server, the file
// as stored from ours, or where the board cannot decompress that, the raw image.
func (w *writer) supply() (supply, error) {
	remote := w.f.cfg.direct
	decompress, why := w.boardDecompressor()
	if remote != nil {
		if !isURL(w.ref) {
			return supply{}, fmt.Errorf("%w: WithDirect is for images with an http(s) URL", ErrConfig)
		}
		if why != nil {
			return supply{}, why
		}
		return w.remoteSupply(*remote, decompress)
	}
	s := supply{decompress: decompress, sent: &atomic.Int64{}, changed: &atomic.Bool{}, what: "the file as stored, from the host"}
	var open func(ctx context.Context) (io.ReadCloser, error)
	want := w.image.SourceSHA256()
	if why == nil && (w.ref == "" || w.ref == "-") {
		why = errors.New("the image comes from a source that may be read only once")
	}
	if why == nil {
		open = func(ctx context.Context) (io.ReadCloser, error) { return w.source.Open(ctx, 0) }
	} else {
		want = w.image.SHA256()
		s.decompress, s.what = "cat", "the raw image, from the host: "+why.Error()
		open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(w.image, 0, w.image.Size())), nil
		}
	}
	w.servers.http.Handle(storedName, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		in, err := open(r.Context())
		if err != nil {
			w.f.cfg.log.Error("Opening the image for the board", "error", err)
			http.Error(rw, "the image cannot be opened", http.StatusBadGateway)
			return
		}
		defer in.Close()
		// A response without a length that is cut short is seen as such: it
		// is chunked, and its last chunk is missing.
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(countTo{rw, s.sent}, sum), in); err != nil {
			panic(http.ErrAbortHandler)
		}
		if hex.EncodeToString(sum.Sum(nil)) != want {
			s.changed.Store(true)
			panic(http.ErrAbortHandler)
		}
	}))
	s.fragment = getter{url: w.servers.url(storedName)}.text(w.tools.Has("curl"))
	return s, nil
}

// boardDecompressor returns the board's command for the image as stored.
func (w *writer) boardDecompressor() (string, error) {
	formats := w.image.Formats()
	if len(formats) > 2 || len(formats) == 2 && formats[1] != image.FormatRaw || len(formats) == 0 {
		return "", fmt.Errorf("no pipeline undoes %v", formats)
	}
	name := string(formats[0])
	switch formats[0] {
	case image.FormatGzip:
		name = "gz"
	case image.FormatBzip2:
		name = "bz2"
	case image.FormatZstd:
		name = "zst"
	case image.FormatSparse:
		return "", errors.New("the board cannot expand Android sparse images")
	}
	return w.tools.Decompressor(name)
}

// remoteSupply has the board fetch from the image's own server.
func (w *writer) remoteSupply(r Remote, decompress string) (supply, error) {
	s := supply{decompress: decompress, what: "the file as stored, from its own server"}
	g := getter{url: w.ref, insecure: r.InsecureTLS}
	for name, value := range r.Header {
		g.headers = append(g.headers, name+": "+value)
		w.shell.AddSecret(value)
	}
	if r.BearerToken != "" {
		g.headers = append(g.headers, "Authorization: Bearer "+r.BearerToken)
		w.shell.AddSecret(r.BearerToken)
	}
	curl := w.tools.Has("curl")
	if strings.HasPrefix(w.ref, "https://") && !curl && !r.InsecureTLS {
		return s, errors.New("the board has no curl, and busybox's wget does not verify certificates: have the host fetch the image, or allow insecure TLS")
	}
	if r.CAFile != "" && curl {
		pem, err := os.ReadFile(r.CAFile)
		if err != nil {
			return s, fmt.Errorf("CA file: %w", err)
		}
		w.servers.http.File(caName, bytes.NewReader(pem), int64(len(pem)))
		s.caURL, g.ca = w.servers.url(caName), true
	}
	s.fragment = g.text(curl)
	return s, nil
}

// getter is a request that the board makes.
type getter struct {
	url      string
	headers  []string
	insecure bool
	ca       bool // the file $ca of the script is trusted
}

// text returns the shell function that makes the request. curl reads everything
// from its standard input, so that nothing stands in the board's process list.
func (g getter) text(curl bool) string {
	var b strings.Builder
	if !curl {
		b.WriteString("get_image() { wget -q -O - ")
		if g.insecure && strings.HasPrefix(g.url, "https://") {
			b.WriteString("--no-check-certificate ")
		}
		for _, h := range g.headers {
			fmt.Fprintf(&b, "--header %s ", shellQuote(h))
		}
		fmt.Fprintf(&b, "%s; }\n", shellQuote(g.url))
		return b.String()
	}
	ca := ""
	if g.ca {
		ca = `--cacert "$ca" `
	}
	fmt.Fprintf(&b, "get_image() { curl -fsSL --connect-timeout 30 --speed-limit 1 --speed-time 120 %s-K - <<'dutflash-end'\nurl = %s\n", ca, curlQuote(g.url))
	for _, h := range g.headers {
		fmt.Fprintf(&b, "header = %s\n", curlQuote(h))
	}
	if g.insecure {
		b.WriteString("insecure\n")
	}
	b.WriteString("dutflash-end\n}\n")
	return b.String()
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// curlQuote quotes for curl's configuration files.
func curlQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

var (
	writePosition = regexp.MustCompile(`dutflash-wrote (\d+)\r?\n`)
	writeFailed   = regexp.MustCompile(`dutflash-dd-failed (\d+)\r?\n`)
)

// pipeline is the write of MethodShell.
func (w *writer) pipeline(ctx context.Context) error {
	size := w.image.Size()
	s, err := w.supply()
	if err != nil {
		return err
	}
	w.f.cfg.log.Info("The board runs the pipeline itself", "gets", s.what, "decompressor", s.decompress)
	w.servers.http.File(fragmentName, strings.NewReader(s.fragment), int64(len(s.fragment)))
	script, err := w.servers.script("pipeline.sh")
	if err != nil {
		return err
	}
	operands := "bs=1048576 iflag=fullblock conv=notrunc"
	if size%int64(max(w.device.SectorSize, 512)) == 0 { // direct I/O takes whole sectors only
		operands += " " + w.outputFlags()
	}
	device, err := w.hold(ctx, w.device)
	if err != nil {
		return err
	}
	sent := func() int64 {
		if s.sent == nil {
			return 0
		}
		return s.sent.Load()
	}
	m := w.meter(StepWrite, w.device.Path, size)
	var position atomic.Int64
	ctx, stop := w.watch(ctx, func() (any, bool) {
		at := position.Load()
		m.updateWire(at, sent())
		return [2]int64{at, sent()}, false
	})
	var out strings.Builder
	refused := false
	err = w.shell.Script(ctx, script, func(chunk []byte) {
		out.Write(chunk)
		refused = refused || writeFailed.MatchString(out.String())
		if all := writePosition.FindAllStringSubmatch(out.String(), -1); all != nil {
			if at, err := strconv.ParseInt(all[len(all)-1][1], 10, 64); err == nil {
				position.Store(min(at, size))
			}
			rest := out.String()[strings.LastIndexByte(out.String(), '\n')+1:]
			out.Reset()
			out.WriteString(rest)
		}
	}, device, w.servers.url(fragmentName), s.decompress, operands, s.caURL)
	stop()
	w.res.TransferredBytes = sent()
	if s.changed != nil && s.changed.Load() {
		return fmt.Errorf("%w: it is not the file any more that was prepared: %w", image.ErrChanged, cmp.Or(err, errors.New("and the board did not notice")))
	}
	if err != nil {
		if refused {
			err = fmt.Errorf("%w: %w", errWriteRefused, err)
		}
		return errors.Join(stallCause(ctx), err)
	}
	w.res.WrittenBytes = size
	m.updateWire(size, sent())
	return nil
}

// countTo counts what is written through it.
type countTo struct {
	w io.Writer
	n *atomic.Int64
}

func (c countTo) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n.Add(int64(n))
	return n, err
}
