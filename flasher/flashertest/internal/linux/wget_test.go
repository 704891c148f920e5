//go:build unix

package linux_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
)

// troubled is an HTTP server on which things go wrong.
func troubled(t *testing.T) string {
	mux := http.NewServeMux()
	cut := func(w http.ResponseWriter, text string, reset bool) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		buf.WriteString(text)
		buf.Flush()
		if reset {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			w.Write(make([]byte, 64<<10))
		}
	})
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		cut(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", false)
	})
	mux.HandleFunc("/chunk", func(w http.ResponseWriter, _ *http.Request) {
		cut(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nonly this", false)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) { cut(w, "HTTP/1.1 200 OK\r\n\r\nuntil the end", false) })
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, _ *http.Request) { cut(w, "", false) })
	mux.HandleFunc("/header", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s\n", r.Method, r.Header.Get("X-Test"), r.Header.Get("User-Agent"))
		io.Copy(w, r.Body)
	})
	mux.Handle("/moved", http.RedirectHandler("/ok", http.StatusFound))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestWgetGivesTheSameAsOnRealBusybox(t *testing.T) {
	t.Parallel()
	u := troubled(t)
	port := u[strings.LastIndexByte(u, ':')+1:]
	var dialer net.Dialer
	real, sim := realSession(t), session(t, linux.Config{Dial: dialer.DialContext})
	if _, err := sim.Run(testContext(t), "cd /tmp"); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{
		"wget -q -O - U/ok",
		"wget -q -O f U/ok; echo $?; cat f; rm f",
		"wget -q U/ok; echo $?; cat ok; wget -q U/ok; echo $?; rm ok",
		"wget -q -O - U/big | sha256sum",
		"set -o pipefail; wget -q -O - U/big | head -c 10 | wc -c; wget -q -O - U/big | true; echo $?",
		"wget -q -O - U/empty; echo $?",
		"wget -q -O - U/missing; echo $?",
		"wget -q -O f U/missing; echo $?; ls f",
		"wget -q -O - U/error; echo $?",
		"wget -q -O - U/short; echo \" $?\"",
		"wget -q -O - U/chunk; echo \" $?\"",
		"wget -q -O - U/endless; echo \" $?\"",
		"wget -q -O - U/nothing; echo $?",
		"wget -q -O - U/moved; echo $?",
		"wget -q -O - --header 'X-Test: yes' --post-data 'a=b' U/header; echo \" $?\"",
		"echo posted >f; wget -q -O - --post-file f U/header; echo $?; rm f",
		"wget -q -O - --no-such-option U/ok 2>&1 | head -n 1; wget 2>&1 | head -n 3 | tail -n 1 | cut -c1-11",
		"printf 'a\\000b' >f; wget -q -O - --post-file f U/header; echo \" $?\"; rm f",
		"printf 'GET /ok HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 PORT | tail -n 1; echo $?",
		"printf 'POST /header HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 3\\r\\nConnection: close\\r\\n\\r\\na\\000b' | nc 127.0.0.1 PORT | tail -n 1 | od -c; echo $?",
		"printf 'GET /big HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 PORT | wc -c >f; [ $(cat f) -gt 4194304 ]; echo $?; rm f",
		"echo x | nc 127.0.0.1 1; echo $?; printf 'GET /short HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 PORT | tail -n 1",
		"printf 'some text' | gzip -1 -c | zcat; echo; printf 'some text' | gzip | gzip -dc; echo",
		"wget -q -O /dev/full U/big; echo $?",
		"wget -q -O - http://127.0.0.1:1/; echo $?",
	} {
		t.Run(strings.NewReplacer("U/", "", "/", "|").Replace(script), func(t *testing.T) {
			run := func(s *busybox.Shell) (string, int) {
				out, err := s.Run(testContext(t), "("+strings.NewReplacer("U/", u+"/", "PORT", port).Replace(script)+")")
				return normal(out), status(t, err)
			}
			wantOut, wantStatus := run(real)
			gotOut, gotStatus := run(sim)
			if gotOut != wantOut || gotStatus != wantStatus {
				t.Errorf("simulation (status %d):\n%s\nreal busybox (status %d):\n%s", gotStatus, gotOut, wantStatus, wantOut)
			}
		})
	}
}
