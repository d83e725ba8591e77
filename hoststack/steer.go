package hoststack

// Steering tells how datagrams reach the worker that owns their connection.
// Whatever the system does, a worker hands a datagram that is another's over
// to it.
type Steering string

// Ways of steering.
const (
	SteerNone Steering = "none" // one socket: nothing to choose
	SteerEBPF Steering = "ebpf" // a program in the kernel, by connection ID
	SteerCBPF Steering = "cbpf" // the same, in classic BPF
	SteerHash Steering = "hash" // by addresses; workers hand over what is not theirs
)
