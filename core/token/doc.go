// Package token makes and checks the secrets a server hands out and recognises
// without keeping state: address validation tokens, stateless reset tokens and
// the keys of TLS session tickets.
//
//	to find                           open
//	sealing and opening tokens        keyring.go
//	what is inside a token            format.go
//	the AEAD                          xaes.go
//	use-once enforcement              replay.go
//	stateless reset, session tickets  derive.go
//
// Machines that share keys accept each other's tokens and tickets; see
// [Keyring.Rotate] for how to replace keys without refusing anybody.
//
// How a token is handled follows RFC 9000, section 8.1:
//   - A Retry token is bound to the client's address and port, and to the
//     connection IDs of the exchange, for a few seconds.
//   - A NEW_TOKEN token is bound to the client's address and QUIC version for
//     about a day, and accepted once.
//
// Tokens are encrypted: to an observer, two of them differ in their length if
// they are of different kinds, and otherwise are random bytes.
package token
