package image

import (
	"fmt"
	"os"
	"path/filepath"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// credential looks for credentials where package bundle does: explicit ones,
// the environment (as Jumpstarter has it), then the files and helpers of podman
// and docker. The first two go to the registry of the reference only.
func credential(ref registry.Reference, c *sourceConfig) (auth.CredentialFunc, error) {
	user, pass := c.user, c.pass
	if user == "" {
		user, pass = os.Getenv("OCI_USERNAME"), os.Getenv("OCI_PASSWORD")
		if (user == "") != (pass == "") {
			return nil, fmt.Errorf("%w: only one of OCI_USERNAME and OCI_PASSWORD is set", ErrUnauthorized)
		}
	}
	if user != "" {
		return auth.StaticCredential(ref.Registry, auth.Credential{Username: user, Password: pass}), nil
	}
	var stores []credentials.Store
	for _, file := range credentialFiles() {
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

// credentialFiles lists where podman and docker keep credentials, in the order
// in which podman looks.
func credentialFiles() []string {
	var files []string
	if f := os.Getenv("REGISTRY_AUTH_FILE"); f != "" {
		files = append(files, f)
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		files = append(files, filepath.Join(d, "containers", "auth.json"))
	}
	if d, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(d, "containers", "auth.json"))
	}
	if d := os.Getenv("DOCKER_CONFIG"); d != "" {
		files = append(files, filepath.Join(d, "config.json"))
	} else if d, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(d, ".docker", "config.json"))
	}
	return files
}
