module github.com/dutflash/dutflash

go 1.26

require (
	github.com/google/go-containerregistry v0.22.1
	github.com/opencontainers/go-digest v1.0.0
	github.com/opencontainers/image-spec v1.1.1
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/sync v0.22.0
	golang.org/x/sys v0.47.0
	oras.land/oras-go/v2 v2.6.2
)

require github.com/google/go-cmp v0.7.0
