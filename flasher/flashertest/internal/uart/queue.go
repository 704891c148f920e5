package uart

import (
	"context"
	"sync"
)

// queueLimit is how many characters wait for a reader before the oldest are lost,
// as in a UART whose FIFO runs over.
const queueLimit = 16 << 20

// queue holds characters on their way in one direction.
type queue struct {
	mu   sync.Mutex
	data []byte
	wake chan struct{} // closed when data comes
}

func (q *queue) init() { q.wake = make(chan struct{}) }

func (q *queue) put(p []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.data = append(q.data, p...)
	if over := len(q.data) - queueLimit; over > 0 {
		q.data = q.data[over:]
	}
	close(q.wake)
	q.wake = make(chan struct{})
}

func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.data = nil
}

func (q *queue) peek() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return string(q.data)
}

// take waits until there is something, or ctx ends.
func (q *queue) take(ctx context.Context, p []byte) (int, error) {
	for {
		q.mu.Lock()
		n := copy(p, q.data)
		q.data = q.data[n:]
		wake := q.wake
		q.mu.Unlock()
		if n > 0 || len(p) == 0 {
			return n, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
