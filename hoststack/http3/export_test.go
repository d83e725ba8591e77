package http3

import "runtime"

// AwaitWaiters waits until n requests wait for a connection that is being made.
func AwaitWaiters(t *Transport, n int) {
	for waiting := 0; waiting < n; runtime.Gosched() {
		t.mu.Lock()
		waiting = 0
		for _, e := range t.conns {
			waiting += e.waiters
		}
		t.mu.Unlock()
	}
}
