// Package congestion decides how much may be in flight on a path and how fast
// it is sent.
// https://www.rfc-editor.org/rfc/rfc9002#section-7
//
//	controller.go  the contract: View, Ack, Loss, Controller, New
//	rate.go        the delivery-rate sampler
//	newreno.go     RFC 9002, Appendix B
//	cubic.go       RFC 9438; its window function in cubic_window.go
//	hystart.go     HyStart++, RFC 9406: leaving slow start before it overflows
//	bbr*.go        BBR version 3, draft-ietf-ccwg-bbr
//
// What everyone needs to see of a controller stands in a View, which its path
// owns. The controller's private state hides behind the Controller interface.
package congestion
