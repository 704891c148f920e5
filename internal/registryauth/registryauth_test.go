package registryauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/dutflash/dutflash/internal/registryauth"
)

func ExampleFind() {
	find, err := registryauth.Find("registry.lab:5000", "joe", "from a vault")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, host := range []string{"registry.lab:5000", "elsewhere.example"} {
		c, err := find(context.Background(), host)
		fmt.Println(c.Username, err)
	}
	// Output:
	// joe <nil>
	//  <nil>
}

// TestOrder adds a place to look after the other, from the last to the first;
// the one that was added last has to win.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	for k, v := range map[string]string{"OCI_USERNAME": "", "OCI_PASSWORD": "", "REGISTRY_AUTH_FILE": "", "DOCKER_CONFIG": "",
		"XDG_RUNTIME_DIR": filepath.Join(dir, "run"), "XDG_CONFIG_HOME": filepath.Join(dir, "config"), "HOME": dir,
		"USERPROFILE": dir, "AppData": filepath.Join(dir, "config")} {
		t.Setenv(k, v)
	}
	write := func(name, password string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700),
			os.WriteFile(path, []byte(`{"auths":{"reg:5000":{"username":"joe","password":"`+password+`"}}}`), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	expect := func(want, user, password string) {
		t.Helper()
		find, err := registryauth.Find("reg:5000", user, password)
		if err != nil {
			t.Fatal(err)
		}
		got := auth.EmptyCredential
		if find != nil {
			if got, err = find(t.Context(), "reg:5000"); err != nil {
				t.Fatal(err)
			}
		}
		if got.Password != want {
			t.Errorf("got %q, want %q", got.Password, want)
		}
	}
	expect("", "", "")
	write(".docker/config.json", "docker")
	expect("docker", "", "")
	write("docker/config.json", "docker config")
	t.Setenv("DOCKER_CONFIG", filepath.Join(dir, "docker"))
	expect("docker config", "", "")
	write(".config/containers/auth.json", "podman")
	expect("podman", "", "")
	write("run/containers/auth.json", "podman run")
	expect("podman run", "", "")
	file := write("any.json", "auth file")
	t.Setenv("REGISTRY_AUTH_FILE", file)
	expect("auth file", "", "")
	t.Setenv("OCI_USERNAME", "joe")
	if _, err := registryauth.Find("reg:5000", "", ""); !errors.Is(err, registryauth.ErrHalf) {
		t.Errorf("half: %v", err)
	}
	t.Setenv("OCI_PASSWORD", "environment")
	expect("environment", "", "")
	expect("explicit", "joe", "explicit")
}

func TestBrokenFileShowsNoSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth.json")
	if err := os.WriteFile(path, []byte(`{"auths":{"reg":{"password":"s3cret"`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OCI_USERNAME", "")
	t.Setenv("OCI_PASSWORD", "")
	t.Setenv("REGISTRY_AUTH_FILE", path)
	_, err := registryauth.Find("reg", "", "")
	if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "localhost:5000": true, "127.0.0.1:5000": true, "127.1.2.3": true,
		"[::1]:5000": true, "[::1]": true, "localhost.example": false, "10.0.0.1:5000": false, "registry.lab": false} {
		if got := registryauth.Loopback(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestCheckRedirect(t *testing.T) {
	for to, kept := range map[string]bool{
		"https://reg.example/v2/b":      true,
		"http://reg.example/v2/b":       false,
		"https://reg.example:8443/v2/b": false,
		"https://cdn.reg.example/b":     false,
		"https://other.example/b":       false,
	} {
		first, err := http.NewRequest(http.MethodGet, "https://reg.example/v2/a?signed=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		next, err := http.NewRequest(http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		next.Header.Set("Authorization", "Basic x")
		next.Header.Set("Referer", first.URL.String())
		if err := registryauth.CheckRedirect(next, []*http.Request{first}); err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if got := next.Header.Get("Authorization") != ""; got != kept || next.Header.Get("Referer") != "" {
			t.Errorf("%s: %v", to, next.Header)
		}
		if err := registryauth.CheckRedirect(next, slices.Repeat([]*http.Request{first}, 10)); err == nil {
			t.Errorf("%s: the tenth redirect is followed", to)
		}
	}
}

func TestWithoutUser(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0", 64)
	for _, ref := range []string{"", "b", "b:v1", "b" + digest, "b:v1" + digest, "h/b:v1", "h:5000/a/b" + digest, "b@", "h/b@"} {
		for _, user := range []string{"", "joe@", "joe:pw@", "joe:p/w@", "joe:p@w@"} {
			if user != "" && !strings.Contains(ref, "/") {
				continue
			}
			if got := registryauth.WithoutUser(user + ref); got != ref {
				t.Errorf("%s%s became %s", user, ref, got)
			}
		}
	}
	if got := registryauth.WithoutUser("joe:pw@host:5000"); got != "host:5000" {
		t.Errorf("got %s", got)
	}
}
