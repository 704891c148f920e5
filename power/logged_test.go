package power_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/power"
)

type stuck struct{ power.Controller }

func (stuck) Off(context.Context) error { return errors.New("the relay is stuck") }

func TestLogged(t *testing.T) {
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, nil))
	if err := power.Logged(log, stuck{}, "on", func() error { return nil }); err != nil {
		t.Error(err)
	}
	if got := said.String(); !strings.Contains(got, "level=INFO") || !strings.Contains(got, "op=on driver=power_test.stuck took=") {
		t.Errorf("it said %s", got)
	}
	if err := power.Logged(nil, stuck{}, "on", func() error { return nil }); err != nil {
		t.Error(err)
	}
	said.Reset()
	err := power.Logged(log, stuck{}, "off", func() error { return stuck{}.Off(t.Context()) })
	if err == nil || err.Error() != "the relay is stuck" {
		t.Errorf("got %v", err)
	}
	if got := said.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, `error="the relay is stuck"`) {
		t.Errorf("it said %s", got)
	}
}
