package stream

// list is a short sorted sequence with cheap removal at the front: what is
// acknowledged or delivered leaves there. Its memory is kept for reuse.
type list[T any] struct {
	buf   []T
	first int
}

func (l *list[T]) len() int    { return len(l.buf) - l.first }
func (l *list[T]) at(i int) *T { return &l.buf[l.first+i] }
func (l *list[T]) clear()      { l.buf, l.first = l.buf[:0], 0 }

// insert puts v before element i.
func (l *list[T]) insert(i int, v T) {
	if l.first > 0 && i < l.len()-i {
		// Nearer to the front, and there is room: move what precedes i down.
		copy(l.buf[l.first-1:], l.buf[l.first:l.first+i])
		l.first--
		l.buf[l.first+i] = v
		return
	}
	if len(l.buf) == cap(l.buf) && l.first > len(l.buf)/2 {
		l.buf = l.buf[:copy(l.buf, l.buf[l.first:])]
		l.first = 0
	}
	l.buf = append(l.buf, v)
	if k := l.first + i; k < len(l.buf)-1 {
		copy(l.buf[k+1:], l.buf[k:])
		l.buf[k] = v
	}
}

// remove drops elements i to j-1.
func (l *list[T]) remove(i, j int) {
	switch {
	case i == j:
	case i == 0:
		l.first += j
		if l.first == len(l.buf) {
			l.clear()
		}
	default:
		k := l.first + i
		l.buf = l.buf[:k+copy(l.buf[k:], l.buf[l.first+j:])]
	}
}
