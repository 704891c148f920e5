package console_test

import (
	"regexp"
	"testing"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// TestQuoteMeta: whatever a board printed is found again, by Expect too.
func TestQuoteMeta(t *testing.T) {
	for _, text := range []string{"=> ", "[$] ", "\xbd> ", "\xff\xfe", "gerät \xe4\xf6 # ", "a\xc3", "\u65e5\u672c", "\ufffd", ""} {
		re, err := regexp.Compile("^" + console.QuoteMeta(text) + "$")
		if err != nil || !re.MatchString(text) || re.MatchString(text+"x") {
			t.Errorf("%q: %v, %v", text, re, err)
		}
	}
	c, board := open(t)
	go say(t, board, "boot\r\n\xbd> ")
	m, err := c.Expect(t.Context(), expect.Regexp(regexp.MustCompile(`\n`+console.QuoteMeta("\xbd> "))))
	if err != nil || m.Text != "\n\xbd> " {
		t.Errorf("got %+v, %v", m, err)
	}
}
