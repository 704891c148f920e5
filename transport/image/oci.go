package image

import "fmt"

func newOCISource(ref string, c *sourceConfig) (Source, error) {
	return nil, fmt.Errorf("%w: oci", ErrInvalid)
}
