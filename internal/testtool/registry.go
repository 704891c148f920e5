package testtool

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Registry runs Debian's docker-registry on the loopback interface until the
// test ends, and returns its HOST:PORT. With htpasswd, the text of such a file
// with bcrypt hashes, it asks for a password.
func Registry(tb testing.TB, htpasswd string) string {
	tb.Helper()
	program := Need(tb, "docker-registry", "apt-get install docker-registry")
	// It cannot choose a free port itself, so that somebody may be faster.
	for range 5 {
		if host := tryRegistry(tb, program, htpasswd); host != "" {
			return host
		}
	}
	tb.Fatal("docker-registry found its port taken five times")
	return ""
}

func tryRegistry(tb testing.TB, program, htpasswd string) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	host := ln.Addr().String()
	ln.Close()
	dir := tb.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: %q}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), host)
	if htpasswd != "" {
		config += fmt.Sprintf("auth:\n  htpasswd: {realm: lab, path: %q}\n", filepath.Join(dir, "htpasswd"))
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(htpasswd), 0o600)); err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "serve", filepath.Join(dir, "config.yml"))
	cmd.Stdout, cmd.Stderr = &out, &out
	// It takes REGISTRY_AUTH_FILE, which podman reads, for its own configuration.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "REGISTRY_") })
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	tb.Cleanup(func() { cmd.Process.Kill(); <-exited })
	client := &http.Client{Timeout: 10 * time.Second}
	deadline := time.Now().Add(30 * time.Second)
	for {
		resp, err := client.Get("http://" + host + "/v2/")
		if err == nil {
			resp.Body.Close()
			return host
		}
		select {
		case <-exited:
			if strings.Contains(out.String(), "address already in use") {
				return ""
			}
			tb.Fatalf("docker-registry ended: %s", &out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("docker-registry does not answer: %v", err)
		}
	}
}
