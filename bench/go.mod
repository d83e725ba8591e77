module github.com/pquic-go/pquic/bench

go 1.26.8

replace github.com/pquic-go/pquic => ../

require (
	github.com/quic-go/quic-go v0.65.0
	golang.org/x/sys v0.49.0
)

require github.com/cilium/ebpf v0.22.0 // indirect

require (
	github.com/pquic-go/pquic v0.0.0-00010101000000-000000000000
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
)
