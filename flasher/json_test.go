package flasher_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
)

// TestJSON: what a program prints of a result, another can read, and the times in it
// say what they are.
func TestJSON(t *testing.T) {
	steps := []flasher.StepTime{{Step: flasher.StepLoad, Elapsed: 1500 * time.Millisecond}, {Step: flasher.StepWrite, Elapsed: time.Minute}}
	attempts := []flasher.Attempt{{Number: 1, Step: flasher.StepLoad, Reason: "no cable", Elapsed: 250 * time.Millisecond}}
	part := &flasher.Result{Image: "boot.img", Partition: "boot", WrittenBytes: 7, Elapsed: time.Second}
	for _, v := range []any{
		&flasher.Result{Image: "a.raw", ImageBytes: 12, SHA256: "ab", Parts: []*flasher.Result{part}, Attempts: attempts, Steps: steps, Elapsed: 61750 * time.Millisecond},
		&flasher.DumpResult{Bytes: 12, Attempts: attempts, Steps: steps, Elapsed: 61750 * time.Millisecond},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"elapsed_seconds":61.75`, `{"step":"load","elapsed_seconds":1.5}`, `{"number":1,"step":"load","reason":"no cable","elapsed_seconds":0.25}`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%T: there is no %s in %s", v, want, text)
			}
		}
		if strings.Contains(string(text), `"elapsed"`) {
			t.Errorf("%T: a time without a unit in %s", v, text)
		}
		back := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if err := json.Unmarshal(text, back); err != nil || !reflect.DeepEqual(back, v) {
			t.Errorf("%T read back: %+v, %v", v, back, err)
		}
		if err := json.Unmarshal([]byte(`{"steps": 5}`), back); err == nil {
			t.Errorf("%T: steps that are a number were taken", v)
		}
	}
	text, err := json.Marshal(flasher.Attempt{Err: errors.New("secret detail"), Reason: "short"})
	if err != nil || strings.Contains(string(text), "secret detail") {
		t.Errorf("%s, %v", text, err)
	}
}
