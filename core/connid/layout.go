package connid

import (
	"errors"
	"fmt"

	"github.com/pquic-go/pquic/core/wire"
)

// Limits of a Layout, in bytes but for MaxWorkers.
const (
	// DefaultLength is the length of connection IDs unless told otherwise: as
	// short as every client's first Destination Connection ID may be, with
	// room for a server ID.
	DefaultLength = 8
	// MinLength is the least length; below it, too many IDs collide.
	MinLength = 4
	// MaxLength is what QUIC versions 1 and 2 allow.
	MaxLength = wire.MaxConnIDLen
	// MinRandom is how many bytes of each ID have to be random. One byte of
	// the Worker field counts.
	MinRandom = 3
	// MaxWorkers is the largest number of workers the Worker field can tell
	// apart.
	MaxWorkers = 256
	// workerFieldLen is the length of the Worker field.
	workerFieldLen = 2
)

// ErrLayout is wrapped by every error of Validate.
var ErrLayout = errors.New("connid: bad layout")

// A Layout tells how the connection IDs of an endpoint are built. The zero
// Layout is valid: 8 random bytes. All workers of an endpoint, and its steering
// program, share one Layout, which must not change while any ID is in use.
type Layout struct {
	// Prefix begins every ID.
	Prefix []byte
	// ServerID follows it, for load balancers that route by connection ID. It
	// is not encrypted.
	ServerID []byte
	// Workers is how many workers share the endpoint's address, 1 to 256; each
	// ID then tells its worker. Zero means that IDs carry no worker.
	Workers int
	// Mask is combined with the worker; see the package documentation. Any
	// value will do. Processes that take turns at one address use the same.
	Mask byte
	// Length is the length of every ID, 4 to 20 bytes. Zero means
	// DefaultLength.
	Length int
}

// Validate reports whether IDs can be made. Call it once, before New.
func (l *Layout) Validate() error {
	n := l.Len()
	if n < MinLength || n > MaxLength {
		return fmt.Errorf("%w: length %d is not within %d..%d", ErrLayout, n, MinLength, MaxLength)
	}
	if l.Workers < 0 || l.Workers > MaxWorkers {
		return fmt.Errorf("%w: %d workers are not within 0..%d", ErrLayout, l.Workers, MaxWorkers)
	}
	random := n - l.workerOffset()
	if l.Workers > 0 {
		random--
	}
	if random < MinRandom {
		return fmt.Errorf("%w: a length of %d leaves %d random bytes, and %d are needed", ErrLayout, n, random, MinRandom)
	}
	return nil
}

// Len returns the length of every ID in bytes: what to pass to
// wire.ParseShortHeaderDst.
func (l *Layout) Len() int {
	if l.Length == 0 {
		return DefaultLength
	}
	return l.Length
}

// workerOffset is where the Worker field is, or would be.
func (l *Layout) workerOffset() int { return len(l.Prefix) + len(l.ServerID) }

// New makes a connection ID of a worker, 0 to Workers-1 (ignored if Workers is
// zero). random fills its argument from a cryptographically secure source: IDs
// have to be unpredictable. The caller makes sure that the ID is not in use,
// and asks again if it is; this is rare with 8 bytes. The layout must be valid.
func (l *Layout) New(random func([]byte), worker uint8) wire.ConnID {
	var buf [MaxLength]byte
	id := buf[:l.Len()]
	random(id)
	if l.Workers > 0 {
		field := id[l.workerOffset():]
		field[1] = field[0] ^ l.Mask ^ l.spread(worker, field[1])
	}
	n := copy(id, l.Prefix)
	copy(id[n:], l.ServerID)
	cid, _ := wire.MakeConnID(id)
	return cid
}

// spread returns one of the bytes that are worker modulo Workers, chosen by
// the random byte r, so that the field's XOR looks random too.
func (l *Layout) spread(worker, r byte) byte {
	w := int(worker) % l.Workers
	choices := (MaxWorkers-1-w)/l.Workers + 1
	return byte(w + l.Workers*(int(r)%choices))
}

// Worker returns the worker a Destination Connection ID belongs to, 0 to
// Workers-1: the one that issued it, or one picked by its random bytes if a
// client has made it up. ok is false if IDs carry no worker or if this one is
// too short.
func (l *Layout) Worker(cid wire.ConnID) (worker uint8, ok bool) {
	o := l.workerOffset()
	if l.Workers < 1 || cid.Len() < o+workerFieldLen {
		return 0, false
	}
	return l.decode(cid.At(o), cid.At(o+1)), true
}

// decode computes the worker from the two bytes of the Worker field.
func (l *Layout) decode(a, b byte) uint8 {
	return uint8(int(a^b^l.Mask) % l.Workers)
}

// WorkerOf returns the worker of a datagram by its first packet, exactly as a
// steering program does. ok is false if there is nothing to decide by; such a
// datagram may be given to any worker.
func (l *Layout) WorkerOf(datagram []byte) (worker uint8, ok bool) {
	if l.Workers < 1 || len(datagram) == 0 {
		return 0, false
	}
	o := l.workerOffset()
	cid := datagram[1:]
	if wire.IsLongHeader(datagram[0]) {
		// First byte, version, length of the Destination Connection ID; the
		// same in all versions.
		// https://www.rfc-editor.org/rfc/rfc8999#section-5.1
		if len(datagram) < 6 || int(datagram[5]) < o+workerFieldLen {
			return 0, false
		}
		cid = datagram[6:]
	}
	if len(cid) < o+workerFieldLen {
		return 0, false
	}
	return l.decode(cid[o], cid[o+1]), true
}

// A Steering holds the constants of a steering program.
type Steering struct {
	Offset  uint8  // of the Worker field within the connection ID, bytes
	Mask    uint8  // to XOR with both bytes of the field
	Workers uint16 // the divisor; 0 means that IDs carry no worker
}

// Steering returns the constants a steering program works with; the package
// documentation gives the program. The layout must be valid.
func (l *Layout) Steering() Steering {
	return Steering{Offset: uint8(l.workerOffset()), Mask: l.Mask, Workers: uint16(l.Workers)}
}

// LBFirstOctet returns the byte QUIC-LB connection IDs begin with, to be used
// as Prefix: the number of the load balancer's configuration, 0 to 6, and the
// number of bytes that follow in an ID of the given length. It panics if either
// is out of range.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-load-balancers#section-3
func LBFirstOctet(config uint8, length int) byte {
	if config > 6 || length < 1 || length > MaxLength {
		panic(fmt.Sprintf("connid: no first octet for configuration %d, length %d", config, length))
	}
	return config<<5 | byte(length-1)
}
