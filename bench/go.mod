module github.com/pquic-go/pquic/bench

go 1.26.8

replace github.com/pquic-go/pquic => ../

require (
	github.com/quic-go/quic-go v0.65.0
	golang.org/x/sys v0.49.0
)

require (
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/net v0.56.0 // indirect
)
