package hoststack

// NotifyAbort has f called, once, when the peer resets the stream or asks to
// stop sending on it: with a *StreamError, before Read or Write come to it, and
// at once if that has happened already. A later call replaces an f that was not
// called yet. f runs as the worker's owner: it must not block, nor call methods
// of this package.
func (s *Stream) NotifyAbort(f func(error)) {
	s.onAbort.Store(&f)
	if p := s.abortErr.Load(); p != nil {
		s.aborted(*p)
	}
}

// aborted notes that the peer gave up on a direction of the stream.
func (s *Stream) aborted(err error) {
	s.abortErr.CompareAndSwap(nil, &err)
	if f := s.onAbort.Swap(nil); f != nil {
		(*f)(*s.abortErr.Load())
	}
}
