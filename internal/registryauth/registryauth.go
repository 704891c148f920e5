// Package registryauth finds the credentials for an OCI registry and keeps them
// with it, in the same way for packages bundle and image.
package registryauth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// The environment variables for credentials, as Jumpstarter has them.
const (
	EnvUser     = "OCI_USERNAME"
	EnvPassword = "OCI_PASSWORD"
)

// ErrHalf: only one of the two environment variables is set.
var ErrHalf = errors.New("only one of " + EnvUser + " and " + EnvPassword + " is set")

// Find looks for the credentials for registry (HOST or HOST:PORT): user and
// password where user is not "", the environment, then the files and helpers of
// podman and docker. The first two are given to that registry only, whoever
// else a request is redirected to. A nil function and no error mean that there
// are none. Errors are [ErrHalf], or name the file that cannot be read; none
// has a secret.
func Find(registry, user, password string) (auth.CredentialFunc, error) {
	if user == "" {
		user, password = os.Getenv(EnvUser), os.Getenv(EnvPassword)
		if (user == "") != (password == "") {
			return nil, ErrHalf
		}
	}
	if user != "" {
		return auth.StaticCredential(registry, auth.Credential{Username: user, Password: password}), nil
	}
	var stores []credentials.Store
	for _, file := range files() {
		if _, err := os.Stat(file); err != nil {
			continue
		}
		s, err := credentials.NewStore(file, credentials.StoreOptions{})
		if err != nil {
			return nil, fmt.Errorf("credential file %s: %w", file, err)
		}
		stores = append(stores, s)
	}
	if len(stores) == 0 {
		return nil, nil
	}
	return credentials.Credential(credentials.NewStoreWithFallbacks(stores[0], stores[1:]...)), nil
}

// files lists where podman and docker keep credentials, in the order in which
// podman looks.
func files() []string {
	var list []string
	if f := os.Getenv("REGISTRY_AUTH_FILE"); f != "" {
		list = append(list, f)
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		list = append(list, filepath.Join(d, "containers", "auth.json"))
	}
	if d, err := os.UserConfigDir(); err == nil {
		list = append(list, filepath.Join(d, "containers", "auth.json"))
	}
	home, err := os.UserHomeDir()
	if err == nil {
		// Where podman on macOS and Windows keeps them, too.
		list = append(list, filepath.Join(home, ".config", "containers", "auth.json"))
	}
	if d := os.Getenv("DOCKER_CONFIG"); d != "" {
		list = append(list, filepath.Join(d, "config.json"))
	} else if err == nil {
		list = append(list, filepath.Join(home, ".docker", "config.json"))
	}
	return list
}

// CheckRedirect is for the http.Client of a registry. What authorizes a request is
// for the server that asked for it, by the same protocol: not for another port of
// that host, a host below it, or plain HTTP, where http.Client would send it too,
// and oras-go on the second step of a way.
// Nobody is told the address that a redirect came from, which may be signed.
func CheckRedirect(req *http.Request, via []*http.Request) error {
	if first := via[0].URL; req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		req.Header.Del("Authorization")
	}
	req.Header.Del("Referer")
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	return nil
}

// Loopback says whether registry (HOST or HOST:PORT) is this host itself, where
// plain HTTP is spoken unless somebody says otherwise, as docker does it.
func Loopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// WithoutUser takes user information out of an OCI reference, which must not have
// any. What is behind the @ of a digest has no slash.
func WithoutUser(ref string) string {
	end := strings.LastIndexByte(ref, '/')
	if end < 0 {
		end = len(ref)
	}
	rest := ref[strings.LastIndexByte(ref[:end], '@')+1:]
	if end == len(ref) && (rest == "" || strings.HasPrefix(rest, "sha256:") || strings.HasPrefix(rest, "sha512:")) {
		return ref
	}
	return rest
}
