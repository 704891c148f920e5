package image_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

// A password with characters that a URL must write as %XX makes it another URL,
// or none.
func TestSecretsOfMalformedReferences(t *testing.T) {
	for _, ref := range []string{
		"http://joe:hun/ter2@host.invalid/a.img",
		"https://joe:hun?ter2@host.invalid/a.img",
		"https://joe:hun#ter2@host.invalid/a.img",
		"https://joe:hun%zzter2@host.invalid/a.img",
		"https://joe:hun ter2@host.invalid/a.img",
		"oci://joe:hunter2@host.invalid/x:v1",
		"oci://joe:hun/ter2@host.invalid/x:v1",
		"ftp://joe:hunter2@host.invalid/a.img",
		"https://host.invalid:port/a.img?token=hunter2",
	} {
		_, err := image.Open(ref)
		if err == nil {
			t.Errorf("%s is taken", ref)
			continue
		}
		var known *image.Error
		if !errors.As(err, &known) {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		for _, text := range []string{err.Error(), known.Source} {
			for _, secret := range []string{"hun", "ter2", "hunter2"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: %s", ref, text)
				}
			}
		}
	}
}
