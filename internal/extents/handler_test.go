package extents_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/dutflash/dutflash/internal/extents"
)

// watchedResponse calls sent with all that was written so far, before it is the client's.
type watchedResponse struct {
	*httptest.ResponseRecorder
	sent func(n int)
}

func (w watchedResponse) Write(b []byte) (int, error) {
	w.sent(w.Body.Len() + len(b))
	return w.ResponseRecorder.Write(b)
}

// TestSentBeforeItArrives: what the board has is counted as sent, however soon it says so.
func TestSentBeforeItArrives(t *testing.T) {
	image := noise(4*mib, mib, func(int) bool { return true })
	p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image), WriteAll: true})
	if err != nil {
		t.Fatal(err)
	}
	task := p.Ask(t.Context(), "writer")
	calls := 0
	w := watchedResponse{httptest.NewRecorder(), func(n int) {
		calls++
		if sent := p.Stats().Sent; sent < int64(n) {
			t.Errorf("%d bytes are with the board, %d are counted", n, sent)
		}
	}}
	p.DataHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, fmt.Sprint("/data?task=", task.ID), nil))
	if !bytes.Equal(w.Body.Bytes(), image) || p.Stats().Sent != 4*mib || calls == 0 {
		t.Errorf("%d bytes came, %+v, %d writes", w.Body.Len(), p.Stats(), calls)
	}
}
