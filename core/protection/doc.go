// Package protection seals and opens QUIC packets: Initial secrets, packet
// protection, header protection, key update and the Retry integrity tag, for
// QUIC version 1 (RFC 9001) and version 2 (RFC 9369).
//
//	to find                         open
//	cipher suites, AEAD limits      suite.go
//	labels, secrets, key schedule   secrets.go
//	header-protection masks         header.go
//	Sealer and Opener               packet.go
//	Retry integrity tag             retry.go
//
// A [Sealer] or [Opener] belongs to one connection, one direction and one key
// phase. It is not safe for concurrent use: nonce and mask are kept inside it
// so that sealing and opening a packet allocate nothing.
//
// Keys, ciphers and hashes come from the standard library and
// golang.org/x/crypto. The protocol fixes nonces, and the keys of Initial and
// Retry packets are public, both of which GODEBUG=fips140=only forbids: under it
// constructors return an error, [InitialSecrets] and [RetryTag] panic.
//
// Not provided, on purpose: TLS_AES_128_CCM_SHA256, which crypto/tls does not
// negotiate.
package protection
