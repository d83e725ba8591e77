module github.com/pquic-go/pquic/interop

go 1.26.8

replace (
	github.com/pquic-go/pquic => ../
	github.com/pquic-go/pquic/bench => ../bench
)

require (
	github.com/pquic-go/pquic/bench v0.0.0-00010101000000-000000000000
	github.com/quic-go/quic-go v0.65.0
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
)

require github.com/cilium/ebpf v0.22.0 // indirect

require (
	github.com/pquic-go/pquic v0.0.0-00010101000000-000000000000 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

tool golang.org/x/net/internal/quic/cmd/interop
